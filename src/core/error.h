/*
 * error.h - everything that can be refused, once: its name here, its code and its sentence.
 *
 * The code is the interface; the sentence is for people. It names an argument as the command's usage
 * does, and never repeats what the caller sent.
 */
#ifndef SESSIONGATE_ERROR_H
#define SESSIONGATE_ERROR_H

/* clang-format off */
#define ERROR_LIST(X) \
    X(ERROR_SIGN_KEY_EMPTY, "ERR", "<sign_key> is empty") \
    X(ERROR_TTL, "ERR", "<ttl> is not a whole number of seconds from 0 to 3153600000") \
    X(ERROR_TOKEN_EMPTY, "ERR", "<token> is empty") \
    X(ERROR_TOKEN_FORM, "BADTOKEN", "<token> is not of a token's form") \
    X(ERROR_SIGNATURE, "BADSIGNATURE", "<token> is not signed with <sign_key>") \
    X(ERROR_NAME, "ERR", "<payload_name> is not 1 to 200 bytes long") \
    X(ERROR_DATA, "ERR", "<payload_data> is not 1 to 8000000 bytes long") \
    X(ERROR_NO_SESSION, "NOSESSION", "no such session: it was never started, was ended, or expired") \
    X(ERROR_NO_PAYLOAD, "NOPAYLOAD", "the session has no payload named <payload_name>") \
    X(ERROR_FULL, "ERR", "the session holds 16777216 payloads, the most it may") \
    X(ERROR_WRONG_TYPE, "WRONGTYPE", "Operation against a key holding the wrong kind of value") \
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

/* "CODE sentence" of an error other than ERROR_NONE, as a client gets it after the "-". */
const char *error_message(enum error error);

#endif
