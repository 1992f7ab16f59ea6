/*
 * commands.c - a handler for each command, and the one table of them.
 *
 * Every handler on a token goes the same way: open the call (the sign key, the token's form and
 * signature), check its other arguments, require the session, act, answer. The first thing that does
 * not hold ends the call with its error, before anything was changed.
 *
 *     call_open -> check_* -> call_has_session -> act -> call_changed, effects_* -> reply
 *
 * A sign key is seen by call_open and cmd_start alone: it never goes into an effect, an event, an
 * error or a log line.
 */
#include "commands.h"

#include <stdio.h>
#include <string.h>

#include "core/token.h"
#include "effects.h"
#include "replay.h"
#include "slots.h"
#include "type.h"

#define TTL_MAX 3153600000LL /* seconds: 100 years of 365 days */
#define NAME_MAX_LEN 200
#define DATA_MAX_LEN 8000000

struct call {
    RedisModuleCtx *ctx;
    RedisModuleString *token;
    RedisModuleKey *key;
    enum error error;
};

/* Notes the error; false, so that a check can return it. */
static bool refuse(struct call *call, enum error error) {
    call->error = error;
    return false;
}

/* Ends a call whose checks failed. */
static int call_refuse(struct call *call) {
    if (call->key) RedisModule_CloseKey(call->key);
    return RedisModule_ReplyWithError(call->ctx, error_message(call->error));
}

/* Ends a call that did what it should. */
static int call_ok(struct call *call) {
    if (call->key) RedisModule_CloseKey(call->key);
    return RedisModule_ReplyWithSimpleString(call->ctx, "OK");
}

/* Opens the call <command> <sign_key> <token> ...: checks the sign key, and that the token is signed
 * with it. The key is looked up first, since a session remembers what it was verified for; the error
 * of a bad token does not depend on what was found. */
static bool call_open(struct call *call, RedisModuleCtx *ctx, RedisModuleString **argv, int mode) {
    *call = (struct call){.ctx = ctx, .token = argv[2]};
    struct bytes sign_key = server_bytes(argv[1]), token = server_bytes(argv[2]);
    if (sign_key.len == 0) return refuse(call, ERROR_SIGN_KEY_EMPTY);
    call->key = RedisModule_OpenKey(ctx, argv[2], mode);
    enum error ignored;
    struct session *session = type_session(call->key, &ignored);
    call->error = session ? token_verify_once(&session->verified, token.at, token.len, sign_key.at,
                                              sign_key.len)
                          : token_verify(token.at, token.len, sign_key.at, sign_key.len);
    return call->error == ERROR_NONE;
}

/* The mode to open the key of a command that may change it. */
static int mode_change(void) {
    return server_signals_explicitly() ? REDISMODULE_READ | REDISMODULE_WRITE : REDISMODULE_READ;
}

static struct session *call_has_session(struct call *call) {
    return type_session(call->key, &call->error);
}

/* To be called right before the change of a session. */
static void call_change(struct call *call) {
    if (server_signals_explicitly()) return;
    RedisModule_CloseKey(call->key);
    call->key = RedisModule_OpenKey(call->ctx, call->token, REDISMODULE_READ | REDISMODULE_WRITE);
}

/* To be called right after it: WATCH, client-side caches and listeners hear of it. */
static void call_changed(struct call *call, const char *event) {
    if (!server_signals_explicitly()) return;
    RedisModule_SignalModifiedKey(call->ctx, call->token);
    RedisModule_NotifyKeyspaceEvent(call->ctx, REDISMODULE_NOTIFY_MODULE, event, call->token);
}

static bool check_ttl(struct call *call, RedisModuleString *arg, long long *ttl) {
    if (RedisModule_StringToLongLong(arg, ttl) == REDISMODULE_OK && *ttl >= 0 && *ttl <= TTL_MAX)
        return true;
    return refuse(call, ERROR_TTL);
}

static bool check_name(struct call *call, RedisModuleString *arg, struct bytes *name) {
    *name = server_bytes(arg);
    return (name->len >= 1 && name->len <= NAME_MAX_LEN) || refuse(call, ERROR_NAME);
}

static bool check_data(struct call *call, RedisModuleString *arg, struct bytes *data) {
    *data = server_bytes(arg);
    return (data->len >= 1 && data->len <= DATA_MAX_LEN) || refuse(call, ERROR_DATA);
}

/* When a life of ttl seconds from now is over, in unix ms. */
static long long expire_at(long long ttl) {
    return RedisModule_Milliseconds() + ttl * 1000;
}

/* In a cluster a token must fall into a slot of this node. An id that does not is drawn again: with m
 * masters about m times. The bound is for nodes with next to no slots: one that serves a single slot
 * of the 16384 finds it with a chance of 98 %. */
#define MINT_TRIES 65536
#define MINT_MS 50

/* Makes a token that this node can store. False: call->error says why not. */
static bool mint(struct call *call, struct bytes sign_key, char token[TOKEN_LEN]) {
    if (!slots_exist()) {
        token_mint(token, sign_key.at, sign_key.len);
        return true;
    }
    /* Since Redis 7.4 and Valkey 8.0 a server stores what a command without keys opens inside MULTI
     * in the slot of the transaction's other keys, where nobody would find it. */
    if (RedisModule_GetContextFlags(call->ctx) & REDISMODULE_CTX_FLAGS_MULTI)
        return refuse(call, ERROR_MULTI);
    long long give_up_at = RedisModule_Milliseconds() + MINT_MS;
    for (int tries = 0; tries < MINT_TRIES; tries++) {
        token_mint(token, sign_key.at, sign_key.len);
        call->error = slots_serve(call->ctx, token, TOKEN_LEN);
        if (call->error != ERROR_NO_SLOT) break;
        if (tries % 64 == 63 && RedisModule_Milliseconds() >= give_up_at) break;
    }
    return call->error == ERROR_NONE;
}

/* Stores a new session that is over at expire_at under a new token. */
static bool start(struct call *call, struct bytes sign_key, long long over_at,
                  char token[TOKEN_LEN]) {
    for (;;) {
        if (!mint(call, sign_key, token)) return false;
        RedisModuleString *name = RedisModule_CreateString(call->ctx, token, TOKEN_LEN);
        RedisModuleKey *key =
            RedisModule_OpenKey(call->ctx, name, REDISMODULE_READ | REDISMODULE_WRITE);
        bool is_free = RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_EMPTY;
        if (is_free) {
            call->token = name;
            type_create(key);
            type_expire_at(key, over_at);
            call_changed(call, "sessiongate.start");
            effects_start(call->ctx, name, over_at);
        }
        RedisModule_CloseKey(key);
        RedisModule_FreeString(call->ctx, name);
        if (is_free) return true;
    }
}

static int cmd_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 3) return RedisModule_WrongArity(ctx);
    struct call call = {.ctx = ctx};
    struct bytes sign_key = server_bytes(argv[1]);
    long long ttl;
    char token[TOKEN_LEN];
    if (sign_key.len == 0) {
        refuse(&call, ERROR_SIGN_KEY_EMPTY);
        return call_refuse(&call);
    }
    if (!check_ttl(&call, argv[2], &ttl)) return call_refuse(&call);
    if (ttl == 0)
        token_mint(token, sign_key.at, sign_key.len); /* over already: there is nothing to store */
    else if (!start(&call, sign_key, expire_at(ttl), token))
        return call_refuse(&call);
    return RedisModule_ReplyWithStringBuffer(ctx, token, TOKEN_LEN);
}

/* Ends the session of a call that was checked. */
static int end(struct call *call) {
    call_change(call);
    type_remove(call->key);
    call_changed(call, "sessiongate.end");
    effects_end(call->ctx, call->token);
    return call_ok(call);
}

static int cmd_end(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 3) return RedisModule_WrongArity(ctx);
    struct call call;
    if (!call_open(&call, ctx, argv, mode_change()) || !call_has_session(&call))
        return call_refuse(&call);
    return end(&call);
}

static int cmd_expire(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4) return RedisModule_WrongArity(ctx);
    struct call call;
    long long ttl;
    if (!call_open(&call, ctx, argv, mode_change()) || !check_ttl(&call, argv[3], &ttl) ||
        !call_has_session(&call))
        return call_refuse(&call);
    if (ttl == 0) return end(&call);
    long long over_at = expire_at(ttl);
    call_change(&call);
    type_expire_at(call.key, over_at);
    call_changed(&call, "sessiongate.expire");
    effects_expire(ctx, call.token, over_at);
    return call_ok(&call);
}

static int cmd_pset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 5) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes name, data;
    struct session *session;
    if (!call_open(&call, ctx, argv, mode_change()) || !check_name(&call, argv[3], &name) ||
        !check_data(&call, argv[4], &data) || !(session = call_has_session(&call)))
        return call_refuse(&call);
    if (session->payloads == SESSION_PAYLOADS_MAX && !session_get(session, name.at, name.len)) {
        refuse(&call, ERROR_FULL);
        return call_refuse(&call);
    }
    call_change(&call);
    session_put(session, name.at, name.len, data.at, data.len);
    call_changed(&call, "sessiongate.pset");
    effects_pset(ctx, call.token, argv[3], argv[4]);
    return call_ok(&call);
}

static int cmd_pget(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes name;
    struct session *session;
    if (!call_open(&call, ctx, argv, REDISMODULE_READ) || !check_name(&call, argv[3], &name) ||
        !(session = call_has_session(&call)))
        return call_refuse(&call);
    const struct payload *payload = session_get(session, name.at, name.len);
    if (!payload) {
        refuse(&call, ERROR_NO_PAYLOAD);
        return call_refuse(&call);
    }
    RedisModule_ReplyWithStringBuffer(ctx, (const char *)payload_data(payload), payload->data_len);
    RedisModule_CloseKey(call.key);
    return REDISMODULE_OK;
}

static int cmd_pdel(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4) return RedisModule_WrongArity(ctx);
    struct call call;
    struct bytes name;
    struct session *session;
    if (!call_open(&call, ctx, argv, mode_change()) || !check_name(&call, argv[3], &name) ||
        !(session = call_has_session(&call)))
        return call_refuse(&call);
    if (!session_get(session, name.at, name.len)) {
        refuse(&call, ERROR_NO_PAYLOAD);
        return call_refuse(&call);
    }
    call_change(&call);
    session_delete(session, name.at, name.len);
    call_changed(&call, "sessiongate.pdel");
    effects_pdel(ctx, call.token, argv[3]);
    return call_ok(&call);
}

/* The words of the table below. */
#define ARG_SIGN_KEY {.name = "sign_key", .type = REDISMODULE_ARG_TYPE_STRING, .key_spec_index = -1}
#define ARG_TTL {.name = "ttl", .type = REDISMODULE_ARG_TYPE_INTEGER, .key_spec_index = -1}
#define ARG_TOKEN {.name = "token", .type = REDISMODULE_ARG_TYPE_KEY, .key_spec_index = 0}
#define ARG_NAME {.name = "payload_name", .type = REDISMODULE_ARG_TYPE_STRING, .key_spec_index = -1}
#define ARG_DATA {.name = "payload_data", .type = REDISMODULE_ARG_TYPE_STRING, .key_spec_index = -1}
#define ARGS(...) ((RedisModuleCommandArg[]){__VA_ARGS__, {0}})

#define KEY_AT(position, key_flags)                            \
    ((RedisModuleCommandKeySpec[]){                            \
        {.flags = (key_flags),                                 \
         .begin_search_type = REDISMODULE_KSPEC_BS_INDEX,      \
         .bs.index.pos = (position),                           \
         .find_keys_type = REDISMODULE_KSPEC_FK_RANGE,         \
         .fk.range = {.lastkey = 0, .keystep = 1, .limit = 0}}, \
        {0}})
#define KEY_READ KEY_AT(2, REDISMODULE_CMD_KEY_RO | REDISMODULE_CMD_KEY_ACCESS)
#define KEY_UPDATE KEY_AT(2, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_UPDATE)
#define KEY_DELETE_IN KEY_AT(2, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_DELETE)
#define KEY_REMOVE KEY_AT(2, REDISMODULE_CMD_KEY_RM | REDISMODULE_CMD_KEY_DELETE)
#define KEY_REPLAYED KEY_AT(1, REDISMODULE_CMD_KEY_OW | REDISMODULE_CMD_KEY_UPDATE)

struct command {
    const char *name;
    RedisModuleCmdFunc handler;
    const char *flags;
    int key; /* the position of the key, 0 for none */
    const char *categories;
    RedisModuleCommandInfo info;
};

static const struct command commands[] = {
    {"SESSIONGATE.START", cmd_start, "write deny-oom fast", 0, "write fast",
     {.summary = "Starts a session and returns its token.",
      .complexity = "O(1)",
      .since = "1.0.0",
      .arity = 3,
      .args = ARGS(ARG_SIGN_KEY, ARG_TTL)}},
    {"SESSIONGATE.EXPIRE", cmd_expire, "write fast", 2, "write fast",
     {.summary = "Sets the remaining life of a session.",
      .complexity = "O(1); with a ttl of 0 as SESSIONGATE.END",
      .since = "1.0.0",
      .arity = 4,
      .key_specs = KEY_UPDATE,
      .args = ARGS(ARG_SIGN_KEY, ARG_TOKEN, ARG_TTL)}},
    {"SESSIONGATE.PSET", cmd_pset, "write deny-oom fast", 2, "write fast",
     {.summary = "Sets a payload of a session.",
      .complexity = "O(1)",
      .since = "1.0.0",
      .arity = 5,
      .key_specs = KEY_UPDATE,
      .args = ARGS(ARG_SIGN_KEY, ARG_TOKEN, ARG_NAME, ARG_DATA)}},
    {"SESSIONGATE.PGET", cmd_pget, "readonly fast", 2, "read fast",
     {.summary = "Returns a payload of a session.",
      .complexity = "O(1)",
      .since = "1.0.0",
      .arity = 4,
      .key_specs = KEY_READ,
      .args = ARGS(ARG_SIGN_KEY, ARG_TOKEN, ARG_NAME)}},
    {"SESSIONGATE.PDEL", cmd_pdel, "write fast", 2, "write fast",
     {.summary = "Deletes a payload of a session.",
      .complexity = "O(1)",
      .since = "1.0.0",
      .arity = 4,
      .key_specs = KEY_DELETE_IN,
      .args = ARGS(ARG_SIGN_KEY, ARG_TOKEN, ARG_NAME)}},
    {"SESSIONGATE.END", cmd_end, "write fast", 2, "write fast",
     {.summary = "Ends a session.",
      .complexity = "O(1); memory is freed in the background, O(N) for N payloads",
      .since = "1.0.0",
      .arity = 3,
      .key_specs = KEY_REMOVE,
      .args = ARGS(ARG_SIGN_KEY, ARG_TOKEN)}},

    {REPLAY_START, replay_start, "write fast", 1, "write fast",
     {.summary = "Internal: replicates the start of a session.",
      .complexity = "O(1)",
      .since = "1.0.0",
      .arity = -1,
      .key_specs = KEY_REPLAYED}},
    {REPLAY_PSET, replay_pset, "write fast", 1, "write fast",
     {.summary = "Internal: replicates a payload that was set.",
      .complexity = "O(1)",
      .since = "1.0.0",
      .arity = -1,
      .key_specs = KEY_REPLAYED}},
    {REPLAY_PDEL, replay_pdel, "write fast", 1, "write fast",
     {.summary = "Internal: replicates a payload that was deleted.",
      .complexity = "O(1)",
      .since = "1.0.0",
      .arity = -1,
      .key_specs = KEY_REPLAYED}},
    {SLOTS_PROBE, slots_probe, "write fast", 1, "write fast",
     {.summary = "Internal: asks whether this node serves a token.",
      .complexity = "O(1)",
      .since = "1.0.0",
      .arity = -1,
      .key_specs = KEY_REPLAYED}},
};

/* Creates the command with the flags that this server knows. */
static bool create(RedisModuleCtx *ctx, const struct command *command) {
    /* Before 7.0 a script may replicate as its call, with the sign key among its arguments. */
    bool writes = strncmp(command->flags, "write", 5) == 0;
    const char *scripts = writes && !RedisModule_GetCommand ? " deny-script" : "";
    const char *const secret[] = {" no-monitor no-slowlog", " no-monitor"}; /* no-slowlog: 6.0 */
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) {
        char flags[128];
        snprintf(flags, sizeof flags, "%s%s%s", command->flags, secret[i], scripts);
        if (RedisModule_CreateCommand(ctx, command->name, command->handler, flags, command->key,
                                      command->key, command->key ? 1 : 0) == REDISMODULE_OK)
            return true;
    }
    return false;
}

/* Tells the server more about a command that was created, where it has ears for it (7.0, 7.2). */
static bool describe(RedisModuleCtx *ctx, const struct command *command) {
    if (!RedisModule_GetCommand) return true;
    RedisModuleCommand *created = RedisModule_GetCommand(ctx, command->name);
    RedisModuleCommandInfo info = command->info;
    info.version = REDISMODULE_COMMAND_INFO_VERSION;
    if (!created || RedisModule_SetCommandInfo(created, &info) != REDISMODULE_OK) return false;
    int (*set_categories)(RedisModuleCommand *, const char *) = NULL;
    if (RedisModule_GetApi("RedisModule_SetCommandACLCategories", &set_categories) ==
        REDISMODULE_OK)
        return set_categories(created, command->categories) == REDISMODULE_OK;
    return true;
}

bool commands_register(RedisModuleCtx *ctx) {
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!create(ctx, &commands[i]) || !describe(ctx, &commands[i])) return false;
    return true;
}
