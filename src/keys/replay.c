/*
 * replay.c - the internal commands of replay.h.
 */
#define _GNU_SOURCE /* memmem */
#include "replay.h"

#include <string.h>

#include "alias.h"
#include "effects.h"
#include "error.h"
#include "owner.h"
#include "token.h"
#include "type.h"

/* Whether an AOF is being loaded, on a server that has no flag for it. */
static bool info_says_loading(RedisModuleCtx *ctx) {
    RedisModuleCallReply *info = RedisModule_Call(ctx, "INFO", "c", "persistence");
    if (!info) return false;
    size_t len;
    const char *text = RedisModule_CallReplyStringPtr(info, &len);
    static const char sign[] = "loading:1";
    bool loading = text && memmem(text, len, sign, sizeof sign - 1) != NULL;
    RedisModule_FreeCallReply(info);
    return loading;
}

/* Whether the call comes from the server itself: REPLICATED is a property of the client, and while
 * LOADING is set the server refuses every other client. ASYNC_LOADING says nothing: clients are
 * served meanwhile. Servers before 6.0.9 may lack both flags (they came with 5.0.4 and 5.0.6);
 * there, a read-only replica takes writes from its master alone. */
static bool from_server(RedisModuleCtx *ctx) {
    int flags = RedisModule_GetContextFlags(ctx);
    if (flags & (REDISMODULE_CTX_FLAGS_REPLICATED | REDISMODULE_CTX_FLAGS_LOADING)) return true;
    if (RedisModule_GetContextFlagsAll) return false;
    int read_only_replica = REDISMODULE_CTX_FLAGS_SLAVE | REDISMODULE_CTX_FLAGS_READONLY;
    return (flags & read_only_replica) == read_only_replica || info_says_loading(ctx);
}

/* Whether the command has to be refused; then it was. */
static bool was_refused(RedisModuleCtx *ctx, bool arity_holds) {
    if (!from_server(ctx)) {
        server_reply_error(ctx, ERROR_INTERNAL, 0);
        return true;
    }
    if (!arity_holds) RedisModule_WrongArity(ctx);
    return !arity_holds;
}

static RedisModuleKey *open_key(RedisModuleCtx *ctx, RedisModuleString *token) {
    return RedisModule_OpenKey(ctx, token, REDISMODULE_READ | REDISMODULE_WRITE);
}

/* A number of an effect; 0 for anything that effects.c could not have sent. */
static long long number_of(const RedisModuleString *arg) {
    long long value;
    return RedisModule_StringToLongLong(arg, &value) == REDISMODULE_OK && value > 0 ? value : 0;
}

static uint32_t ttl_of(const RedisModuleString *arg) {
    long long value = number_of(arg);
    return value <= UINT32_MAX ? (uint32_t)value : 0;
}

/* Sets payloads of an effect, names and data by turns, that end so. */
static void put_all(struct session *session, RedisModuleString **payloads, int payloads_len,
                    long long ends_at) {
    for (int i = 0; i + 1 < payloads_len; i += 2) {
        size_t name_len = server_bytes(payloads[i]).len;
        size_t data_len = server_bytes(payloads[i + 1]).len;
        bool fits = name_len >= 1 && name_len <= SESSION_NAME_MAX && data_len >= 1 &&
                    data_len <= SESSION_DATA_MAX && ends_at <= PAYLOAD_ENDS_AT_MAX;
        if (fits) type_put(session, payloads[i], payloads[i + 1], ends_at);
    }
}

static void signal_change(RedisModuleCtx *ctx, RedisModuleString *token) {
    if (server_signals_explicitly()) RedisModule_SignalModifiedKey(ctx, token);
}

/* Ends a replay: the command goes on to whoever follows this server. */
static int reply_done(RedisModuleCtx *ctx) {
    RedisModule_ReplicateVerbatim(ctx);
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

/* Ends one of a change of the session under argv[1], that came through the aliases from argv[first]
 * on. */
static int reply_done_with(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString **argv,
                           int argc, int first) {
    RedisModule_CloseKey(key);
    signal_change(ctx, argv[1]);
    for (int i = first; i < argc; i++) signal_change(ctx, argv[i]);
    return reply_done(ctx);
}

/*
 * Owners' lists. A list that a client of a writable replica replaced by something else is let be.
 */

/* The list under an opened key, made where there is none. */
static struct owner *list_under(RedisModuleKey *key) {
    if (RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_EMPTY) return owner_create(key);
    return owner_of(key);
}

static bool is_v2(struct bytes token) {
    return token.len == TOKEN_V2_LEN && token_has_form(token.at, token.len);
}

/* Closes the key of a list that was changed. */
static void close_list(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString *label,
                       long long expire_at) {
    struct owner *owner = owner_of(key);
    if (owner && owner->tokens.len == 0)
        type_remove(key);
    else if (owner)
        type_expire_at(key, expire_at);
    RedisModule_CloseKey(key);
    signal_change(ctx, label);
}

/* Puts a token into the list, in the place of an old one unless that is NULL. */
static void put_into_list(RedisModuleCtx *ctx, RedisModuleString *label, RedisModuleString *old_arg,
                          RedisModuleString *token_arg, long long expire_at) {
    struct bytes token = server_bytes(token_arg);
    struct bytes old = old_arg ? server_bytes(old_arg) : token;
    RedisModuleKey *key = open_key(ctx, label);
    struct owner *owner = list_under(key);
    if (owner && is_v2(token))
        tokenlist_replace(&owner->tokens, is_v2(old) ? old.at : token.at, token.at);
    close_list(ctx, key, label, expire_at);
}

static void take_from_list(struct owner *owner, RedisModuleString **tokens, int tokens_len) {
    for (int i = 0; i < tokens_len && owner; i++) {
        struct bytes token = server_bytes(tokens[i]);
        if (is_v2(token)) tokenlist_remove(&owner->tokens, token.at);
    }
}

static struct bytes label_of(const RedisModuleString *arg) {
    struct bytes label = server_bytes(arg);
    if (label.len > SESSION_OWNER_MAX) label.len = 0; /* nobody sent this */
    return label;
}

/*
 * The commands.
 */

int replay_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc == 4 || (argc >= 6 && argc % 2 == 0))) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    long long expire_at = number_of(argv[2]);
    struct session_times times = {.ttl = ttl_of(argv[3])};
    if (argc == 4) {
        times.created_ms = expire_at - (long long)times.ttl * 1000;
        if (times.created_ms < 0) times.created_ms = 0; /* unknown: nobody sent this */
    } else {
        times.created_ms = number_of(argv[4]);
        times.deadline_ms = number_of(argv[5]);
    }
    struct session *session = type_create(key, times, TYPE_NOBODY);
    if (argc > 6) put_all(session, argv + 6, argc - 6, 0);
    type_expire_at(key, expire_at);
    return reply_done_with(ctx, key, argv, 0, 0);
}

/* Deletes the sessions and the aliases of these names. */
static void remove_all(RedisModuleCtx *ctx, RedisModuleString **names, int names_len) {
    for (int i = 0; i < names_len; i++) {
        RedisModuleKey *key = open_key(ctx, names[i]);
        if (type_session(key) || alias_of(key)) type_remove(key);
        RedisModule_CloseKey(key);
        signal_change(ctx, names[i]);
    }
}

int replay_ostart(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    bool fits = argc >= 10 && number_of(argv[8]) <= argc - 10 &&
                number_of(argv[9]) <= argc - 10 - number_of(argv[8]);
    if (was_refused(ctx, fits)) return REDISMODULE_OK;
    int ended = (int)number_of(argv[8]), leavers = ended + (int)number_of(argv[9]);
    remove_all(ctx, argv + 10, ended);
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session_times times = {number_of(argv[5]), number_of(argv[6]), ttl_of(argv[4])};
    struct session *session = type_create(key, times, label_of(argv[2]));
    put_all(session, argv + 10 + leavers, argc - 10 - leavers, 0);
    type_expire_at(key, number_of(argv[3]));
    RedisModuleKey *list = open_key(ctx, argv[2]);
    take_from_list(list_under(list), argv + 10, leavers);
    RedisModule_CloseKey(list);
    put_into_list(ctx, argv[2], NULL, argv[1], number_of(argv[7]));
    return reply_done_with(ctx, key, argv, 0, 0);
}

static int replay_payloads(RedisModuleCtx *ctx, RedisModuleString **argv, int first_alias,
                           int first_payload, int argc) {
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session *session = type_session(key);
    if (session) put_all(session, argv + first_payload, argc - first_payload, 0);
    return reply_done_with(ctx, key, argv, first_payload, first_alias);
}

int replay_pset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 4 && argc % 2 == 0)) return REDISMODULE_OK;
    return replay_payloads(ctx, argv, 2, 2, argc);
}

int replay_psetvia(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 5 && number_of(argv[2]) <= argc - 5)) return REDISMODULE_OK;
    return replay_payloads(ctx, argv, 3, 3 + (int)number_of(argv[2]), argc);
}

int replay_psetex(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 5)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session *session = type_session(key);
    if (session) put_all(session, argv + 3, 2, number_of(argv[2]));
    return reply_done_with(ctx, key, argv, argc, 5);
}

int replay_pdel(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 3)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session *session = type_session(key);
    struct bytes name = server_bytes(argv[2]);
    if (session) session_delete(session, name.at, name.len);
    return reply_done_with(ctx, key, argv, argc, 3);
}

int replay_expire(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 4)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session *session = type_session(key);
    if (session) {
        session->times.ttl = ttl_of(argv[3]);
        type_expire_at(key, number_of(argv[2]));
    }
    return reply_done_with(ctx, key, argv, argc, 4);
}

int replay_oexpire(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 6)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session *session = type_session(key);
    if (session) {
        session->times.ttl = ttl_of(argv[4]);
        type_expire_at(key, number_of(argv[3]));
    }
    put_into_list(ctx, argv[2], NULL, argv[1], number_of(argv[5]));
    return reply_done_with(ctx, key, argv, argc, 6);
}

int replay_touch(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 3)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    if (type_session(key)) type_expire_at(key, number_of(argv[2]));
    return reply_done_with(ctx, key, argv, argc, 3);
}

int replay_end(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 2)) return REDISMODULE_OK;
    remove_all(ctx, argv + 1, argc - 1);
    return reply_done(ctx);
}

int replay_oend(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 5 && number_of(argv[4]) <= argc - 5)) return REDISMODULE_OK;
    remove_all(ctx, argv + 5, (int)number_of(argv[4]));
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct bytes kept = server_bytes(argv[3]);
    struct owner *owner = is_v2(kept) ? list_under(key) : owner_of(key);
    take_from_list(owner, argv + 5, argc - 5);
    if (owner && is_v2(kept)) tokenlist_add(&owner->tokens, kept.at);
    close_list(ctx, key, argv[1], number_of(argv[2]));
    return reply_done(ctx);
}

/* Moves the session under argv[1], if there is one, to argv[2]; times holds expire_at, deadline,
 * ttl and alias_expire_at. The aliases from argv[first] on are deleted. */
static void move_replayed(RedisModuleCtx *ctx, RedisModuleString **argv, int argc,
                          RedisModuleString **times, int first) {
    remove_all(ctx, argv + first, argc - first);
    RedisModuleKey *from = open_key(ctx, argv[1]);
    if (type_session(from)) {
        RedisModuleKey *to = open_key(ctx, argv[2]);
        type_move(from, to);
        struct session *session = type_session(to);
        session->times.deadline_ms = number_of(times[1]);
        session->times.ttl = ttl_of(times[2]);
        type_expire_at(to, number_of(times[0]));
        RedisModule_CloseKey(to);
        long long alias_expire_at = number_of(times[3]);
        if (alias_expire_at && alias_create(from, server_bytes(argv[2])))
            type_expire_at(from, alias_expire_at);
        else
            type_remove(from);
    }
    RedisModule_CloseKey(from);
    signal_change(ctx, argv[1]);
    signal_change(ctx, argv[2]);
}

static bool are_two(RedisModuleString **names) {
    return RedisModule_StringCompare(names[0], names[1]) != 0;
}

int replay_rotate(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 7 && are_two(argv + 1))) return REDISMODULE_OK;
    move_replayed(ctx, argv, argc, argv + 3, 7);
    return reply_done(ctx);
}

int replay_orotate(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 9 && are_two(argv + 1))) return REDISMODULE_OK;
    move_replayed(ctx, argv, argc, argv + 4, 9);
    put_into_list(ctx, argv[3], argv[1], argv[2], number_of(argv[8]));
    return reply_done(ctx);
}

int replay_load(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc >= 3)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    if (!type_load(key, argv + 2, argc - 2)) {
        RedisModule_Log(ctx, "warning",
                        "a session of a rewritten AOF is damaged or cut short, and is left out");
        type_remove(key);
    }
    return reply_done_with(ctx, key, argv, 0, 0);
}

int replay_alias(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc == 3)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    alias_create(key, server_bytes(argv[2]));
    return reply_done_with(ctx, key, argv, 0, 0);
}

int replay_owner(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (was_refused(ctx, argc == 3)) return REDISMODULE_OK;
    put_into_list(ctx, argv[1], NULL, argv[2], 0);
    return reply_done(ctx);
}

static const struct {
    const char *name;
    RedisModuleCmdFunc handler;
} sweeping[] = {
    {REPLAY_PSET, replay_pset},       {REPLAY_PSETVIA, replay_psetvia},
    {REPLAY_PSETEX, replay_psetex},   {REPLAY_PDEL, replay_pdel},
    {REPLAY_EXPIRE, replay_expire},   {REPLAY_TOUCH, replay_touch},
    {REPLAY_ROTATE, replay_rotate},   {REPLAY_OEXPIRE, replay_oexpire},
    {REPLAY_OROTATE, replay_orotate},
};

/* The handler of an effect that can come inside of SWEPT, or NULL. */
static RedisModuleCmdFunc handler_of(const RedisModuleString *effect) {
    struct bytes name = server_bytes(effect);
    for (size_t i = 0; i < sizeof sweeping / sizeof *sweeping; i++)
        if (strlen(sweeping[i].name) == name.len &&
            memcmp(sweeping[i].name, name.at, name.len) == 0)
            return sweeping[i].handler;
    return NULL;
}

/* The effect inside says what has changed, ends the replay, and passes on all of the command. */
int replay_swept(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    RedisModuleCmdFunc handler = argc >= 6 ? handler_of(argv[4]) : NULL;
    if (was_refused(ctx, handler != NULL)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session *session = type_session(key);
    long long payloads = number_of(argv[3]);
    if (session && payloads <= UINT32_MAX)
        session_sweep(session, number_of(argv[2]), (uint32_t)payloads);
    RedisModule_CloseKey(key);
    return handler(ctx, argv + 4, argc - 4);
}
