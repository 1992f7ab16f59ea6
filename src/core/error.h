/*
 * error.h - everything that can be refused, once: its name here, its code and its sentence.
 *
 * The code is the interface; the sentence is for people. It names an argument as the command's
 * usage does, and never repeats what the caller sent.
 */
#ifndef SESSIONGATE_ERROR_H
#define SESSIONGATE_ERROR_H

/* clang-format off */
#define ERROR_LIST(X) \
    X(ERROR_SIGN_KEY, "ERR", "<sign_key> is not 1 to %lld bytes long") \
    X(ERROR_NEW_SIGN_KEY, "ERR", "<new_sign_key> is not 1 to %lld bytes long") \
    X(ERROR_TTL, "ERR", "<ttl> is not a whole number of seconds from 0 to %lld") \
    X(ERROR_NEW_TTL, "ERR", "<ttl> is not a whole number of seconds from 1 to %lld") \
    X(ERROR_MAX_TTL, "ERR", "<max_ttl> is not a whole number of seconds from 1 to %lld") \
    X(ERROR_GRACE, "ERR", "<grace> is not a whole number of seconds from 0 to %lld") \
    X(ERROR_MINAGE, "ERR", "<minage> is not a whole number of seconds from 0 to %lld") \
    X(ERROR_OWNER, "ERR", "<owner> is not 1 to %lld bytes long") \
    X(ERROR_OWNER_LIMIT, "ERR", "<limit> is not a whole number from 1 to %lld") \
    X(ERROR_OWNER_FULL, "ERR", "an owner has at most %lld sessions") \
    X(ERROR_TOKEN_EMPTY, "ERR", "<token> is empty") \
    X(ERROR_TOKEN_FORM, "BADTOKEN", "<token> is not of a token's form") \
    X(ERROR_SIGNATURE, "BADSIGNATURE", "<token> is not signed with <sign_key>") \
    X(ERROR_NAME, "ERR", "<payload_name> is not 1 to %lld bytes long") \
    X(ERROR_DATA, "ERR", "<payload_data> is not 1 to %lld bytes long") \
    X(ERROR_IFEQ, "ERR", "<data> of IFEQ is empty, which no payload is") \
    X(ERROR_EX, "ERR", "<seconds> is not a whole number from 1 to %lld") \
    X(ERROR_PX, "ERR", "<milliseconds> is not a whole number from 1 to %lld") \
    X(ERROR_FULL, "ERR", "a session holds at most %lld payloads") \
    X(ERROR_SYNTAX, "ERR", "syntax error: an option is unknown, given twice, incomplete," \
                             " or at odds with another") \
    X(ERROR_NO_SESSION, "NOSESSION", "no such session: it was never started, was ended, or" \
                                     " expired") \
    X(ERROR_NO_PAYLOAD, "NOPAYLOAD", "the session has no payload named <payload_name>") \
    X(ERROR_BUSY_TOKEN, "BUSYTOKEN", "a session of <token> lives already") \
    X(ERROR_WRONG_TYPE, "WRONGTYPE", "Operation against a key holding the wrong kind of value") \
    X(ERROR_TRY_AGAIN, "TRYAGAIN", "the hash slot is being moved: try again") \
    X(ERROR_INTERNAL, "ERR", "this command is for the server's replication and loading only") \
    X(ERROR_MULTI, "ERR", "in a cluster START is refused inside MULTI, where the server could" \
                          " misplace the session: send it before MULTI, or from a script") \
    X(ERROR_NO_SLOT, "NOSLOT", "this node serves no hash slot where a session could be started:" \
                               " send START to another master") \
    X(ERROR_CLUSTER_DOWN, "CLUSTERDOWN", "the cluster is down: no session can be started")
/* clang-format on */

enum error {
    ERROR_NONE,
#define X(name, code, sentence) name,
    ERROR_LIST(X)
#undef X
};

#define ERROR_MESSAGE_SIZE 192

/* Writes "CODE sentence" of an error other than ERROR_NONE, as a client gets it after the "-", with
 * a NUL. limit is the number in its sentence, where it has one. */
void error_message(char message[ERROR_MESSAGE_SIZE], enum error error, long long limit);

#endif
