/*
 * call.h - what the handlers of the commands share.
 *
 * Every handler on a token goes the same way: open the call (arity, sign key, the token's form and
 * signature), check its other arguments, require the session, act, answer. The first thing that
 * does not hold ends the call with its error, before anything was changed.
 *
 *     call_open -> call_check_* -> call_requires_session
 *         -> to write: call_change, call_sweep -> act -> effects_*, call_changed -> reply
 *
 *     if (!call_open(&call, ctx, argv, mode) || !call_check_name(&call, argv[3], &name) ||
 *         !call_requires_session(&call))
 *         return call_refuse(&call);
 *
 * A token that was rotated may be an alias for a while: the call then goes on with its successor,
 * and `key` and `session` are the successor's.
 *
 * What a call has at hand, step by step:
 *
 *     call_begin      the sign key
 *     call_open       the names, the key of the last one, the session or why there is none
 *     call_change     the same, the key open for writing (servers before 6.0 open it anew here)
 *     call_changed    the names alone: the key is closed, and the session may be gone
 *
 * A sign key is seen by call_open and by what mints tokens: it never goes into an effect, an event,
 * an error or a log line.
 */
#ifndef SESSIONGATE_CALL_H
#define SESSIONGATE_CALL_H

#include "config.h"
#include "effects.h"
#include "error.h"
#include "server.h"
#include "session.h"

/* A sign key takes at most this many bytes: far more than any real one, and what hashing it costs
 * is bounded. */
#define CALL_SIGN_KEY_MAX 65536

/* A token may have been rotated so often within the grace of its aliases; past that it is dead. */
#define CALL_ALIASES_MAX 8

/* A call that writes removes at most so many payloads that are over, or as many as it adds: then
 * no session grows past its limit by them, and no call takes long. */
#define CALL_SWEEP_MAX 2048

#define CALL_GRACE_MAX 300 /* seconds that a rotated token may live on */

struct call {
    RedisModuleCtx *ctx;
    struct bytes sign_key;
    /* The token argument, the client's; then the successor of each name before it, ours to free.
     * All but the last were found to be aliases, the last is the one that `key` is of. */
    RedisModuleString *names[1 + CALL_ALIASES_MAX];
    size_t names_len;
    RedisModuleKey *key;
    struct session *session; /* NULL: there is none, `missing` says why */
    enum error missing;
    long long now_ms; /* call_now; 0: nobody asked yet */
    struct effects_sweep sweep;
    enum error error;
    long long limit; /* the number in the sentence of the error, where it has one */
};

/* The token of the session that the call is on. */
static inline RedisModuleString *call_token(const struct call *call) {
    return call->names[call->names_len - 1];
}

/* The aliases that led to it. */
static inline struct strings call_aliases(struct call *call) {
    return (struct strings){call->names, call->names_len - 1};
}

/* The change of its session, for an effect. */
static inline struct effects_change call_effect(struct call *call) {
    return (struct effects_change){call_token(call), call_aliases(call), call->sweep};
}

/* The modes to open a call with. */
#define CALL_READ REDISMODULE_READ
int call_write_mode(void);

/* Opens <command> <sign_key> <token> ...; argc was checked by the caller. A call that was begun so
 * must be ended by one of call_refuse, call_ok and call_end. */
__attribute__((warn_unused_result)) bool call_open(struct call *call, RedisModuleCtx *ctx,
                                                   RedisModuleString **argv, int mode);

/* The same in two steps: begins <command> <sign_key> ..., and opens a token. A command without a
 * token takes the first alone. */
__attribute__((warn_unused_result)) bool call_begin(struct call *call, RedisModuleCtx *ctx,
                                                    RedisModuleString **argv);
__attribute__((warn_unused_result)) bool call_open_token(struct call *call, RedisModuleString *arg,
                                                         int mode);

/* Notes the error; false, so that a check can return it. */
bool call_error(struct call *call, enum error error);

/* Whether there is a session; the last check of a call. */
__attribute__((warn_unused_result)) bool call_requires_session(struct call *call);

/* Each checks an argument and takes its value. A known name is one to read or delete: a limit that
 * was lowered does not hide what was set before. */
bool call_check_ttl(struct call *call, RedisModuleString *arg, long long *ttl);
bool call_check_owner(struct call *call, RedisModuleString *arg, struct bytes *owner);
bool call_check_name(struct call *call, RedisModuleString *arg, struct bytes *name);
bool call_check_known_name(struct call *call, RedisModuleString *arg, struct bytes *name);
bool call_check_data(struct call *call, RedisModuleString *arg, struct bytes *data);

/* A sign key, the call's or a new one, or the error. */
bool call_check_sign_key(struct call *call, RedisModuleString *arg, enum error error,
                         struct bytes *sign_key);

/* A whole number from min to max, or the error. */
bool call_check_number(struct call *call, RedisModuleString *arg, long long min, long long max,
                       enum error error, long long *number);

/* The time by which payloads end, the same for a whole call: unix ms. */
long long call_now(struct call *call);

/* Finds the payload of that name, false when there is none or its time is over. */
static inline bool call_find(struct call *call, struct bytes name, struct payload *payload) {
    if (!session_get(call->session, name.at, name.len, payload)) return false;
    return !payload->ends_at || !payload_is_over(payload, call_now(call));
}

/* Names and data by turns, argc strings in all. */
bool call_check_payloads(struct call *call, RedisModuleString **argv, int argc);

/* Whether the session has room for those payloads too. Only one that is nearly full has to be looked
 * at. */
bool call_check_full(struct call *call, RedisModuleString **payloads, int payloads_len);

static inline bool call_check_room(struct call *call, RedisModuleString **payloads,
                                   int payloads_len) {
    long long had = call->session ? session_payloads(call->session) : 0;
    return had + payloads_len / 2 <= config.max_payloads ||
           call_check_full(call, payloads, payloads_len);
}

/* To be called right before the change of a session, or before one is made. False: it expired in
 * this very moment (only where the key has to be opened anew); call->error says so. */
__attribute__((warn_unused_result)) bool call_change(struct call *call);

/* Removes payloads whose time is over, after call_change and before what the call itself changes;
 * `adds` is how many payloads it may add. What was found before is to be found anew. */
void call_sweep_lives(struct call *call, size_t adds);

static inline void call_sweep(struct call *call, size_t adds) {
    if (session_has_lives(call->session)) call_sweep_lives(call, adds);
}

/* To be called last, with the effect sent: WATCH, client-side caches and listeners hear of it,
 * those of the aliases too that the call came through. The listeners may be other modules that
 * delete the session at once: it is not used from here on, and its key is closed. */
void call_changed(struct call *call, const char *event);

/* Deletes the aliases that the call came through. */
void call_remove_aliases(struct call *call);

/* The same for any key, which the caller has closed. */
void call_key_changed(RedisModuleCtx *ctx, RedisModuleString *key, const char *event);

/* Ends a call, with its error, with OK, or after the handler has replied. */
int call_refuse(struct call *call);
int call_ok(struct call *call);
int call_end(struct call *call);

/* Whether an argument is that option, in any case. */
bool call_is_option(RedisModuleString *arg, const char *option);

#endif
