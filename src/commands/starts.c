/*
 * starts.c - the commands that make tokens or sessions: START, ADOPT, ROTATE.
 */
#include "alias.h"
#include "config.h"
#include "effects.h"
#include "handlers.h"
#include "secret.h"
#include "slot.h"
#include "slots.h"
#include "stats.h"
#include "token.h"
#include "type.h"

/* The options of all three commands; each knows some of them. */
struct options {
    long long max_ttl;            /* seconds; 0: not given */
    long long ttl;                /* likewise */
    long long grace;              /* seconds */
    struct bytes new_key;         /* .at NULL: not given */
    int format;                   /* enum token_format; -1: not given */
    RedisModuleString **payloads; /* names and data by turns; NULL: not given */
    int payloads_len;
};

#define OPTIONS_NONE ((struct options){.grace = -1, .format = -1})

/* Each takes its option at argv[0] and its values behind it, of argc strings in all, and returns
 * how many strings that were; 0 for an error, which call->error then names. */
static int take_number(struct call *call, RedisModuleString **argv, int argc, long long min,
                       long long max, enum error error, long long unset, long long *value) {
    if (argc < 2 || *value != unset) return call_error(call, ERROR_SYNTAX);
    return call_check_number(call, argv[1], min, max, error, value) ? 2 : 0;
}

static int take_payloads(struct call *call, RedisModuleString **argv, int argc,
                         struct options *options) {
    long long count;
    if (argc < 2 || options->payloads ||
        RedisModule_StringToLongLong(argv[1], &count) != REDISMODULE_OK || count < 0 ||
        count > (argc - 2) / 2)
        return call_error(call, ERROR_SYNTAX);
    options->payloads = argv + 2;
    options->payloads_len = 2 * (int)count;
    return call_check_payloads(call, options->payloads, options->payloads_len)
               ? 2 + options->payloads_len
               : 0;
}

static int take_format(struct call *call, RedisModuleString **argv, int argc,
                       struct options *options) {
    if (argc < 2 || options->format != -1) return call_error(call, ERROR_SYNTAX);
    if (call_is_option(argv[1], "v1"))
        options->format = TOKEN_V1;
    else if (call_is_option(argv[1], "v2"))
        options->format = TOKEN_V2;
    else
        return call_error(call, ERROR_SYNTAX);
    return 2;
}

static int take_new_key(struct call *call, RedisModuleString **argv, int argc,
                        struct options *options) {
    if (argc < 2 || options->new_key.at) return call_error(call, ERROR_SYNTAX);
    return call_check_sign_key(call, argv[1], ERROR_NEW_SIGN_KEY, &options->new_key) ? 2 : 0;
}

enum command { START = 1, ADOPT = 2, ROTATE = 4 };

static int take(struct call *call, RedisModuleString **argv, int argc, enum command command,
                struct options *options) {
    if (call_is_option(*argv, "MAXTTL"))
        return take_number(call, argv, argc, 1, config.max_ttl, ERROR_MAX_TTL, 0,
                           &options->max_ttl);
    if (command & (START | ADOPT) && call_is_option(*argv, "PAYLOADS"))
        return take_payloads(call, argv, argc, options);
    if (command & START && call_is_option(*argv, "FORMAT"))
        return take_format(call, argv, argc, options);
    if (command & ROTATE && call_is_option(*argv, "TTL"))
        return take_number(call, argv, argc, 1, config.max_ttl, ERROR_NEW_TTL, 0, &options->ttl);
    if (command & ROTATE && call_is_option(*argv, "GRACE"))
        return take_number(call, argv, argc, 0, CALL_GRACE_MAX, ERROR_GRACE, -1, &options->grace);
    if (command & ROTATE && call_is_option(*argv, "NEWKEY"))
        return take_new_key(call, argv, argc, options);
    return call_error(call, ERROR_SYNTAX);
}

/* Takes all options of a command from argv, argc strings. */
static bool check_options(struct call *call, RedisModuleString **argv, int argc,
                          enum command command, struct options *options) {
    *options = OPTIONS_NONE;
    while (argc > 0) {
        int taken = take(call, argv, argc, command, options);
        if (taken == 0) return false;
        argv += taken;
        argc -= taken;
    }
    return true;
}

/* In a cluster a token must fall into a slot of this node; one that does not is drawn again, with m
 * masters about m times. The bound is for nodes with next to no slots: 4096 draws find one of 16
 * slots with a chance of 98 %, and one that serves fewer may answer an error. */
#define MINT_TRIES 65536
#define MINT_MS 50
#define MINT_TRIES_AT_LEAST 4096 /* however slow the machine: enough for a node of some slots */

static uint16_t random_slot(void) {
    unsigned bits = secret_random_byte() | (unsigned)secret_random_byte() << 8;
    return (uint16_t)(bits % SLOT_COUNT); /* a power of two: none is favoured */
}

static const struct secret_signer *signer_of(struct bytes sign_key) {
    return secret_signer(sign_key.at, sign_key.len);
}

/* Makes a token that this node can store a session under. False: call->error says why not. */
static bool mint(struct call *call, enum token_format format, char token[TOKEN_MAX_LEN]) {
    const struct secret_signer *signer = signer_of(call->sign_key);
    token_mint(token, format, signer);
    if (!slots_exist()) return true;
    /* Since Redis 7.4 and Valkey 8.0 a server stores what a command without keys opens inside MULTI
     * in the slot of the transaction's other keys, where nobody would find it. */
    if (RedisModule_GetContextFlags(call->ctx) & REDISMODULE_CTX_FLAGS_MULTI)
        return call_error(call, ERROR_MULTI);
    long long give_up_at = RedisModule_Milliseconds() + MINT_MS;
    for (int tries = 1; tries <= MINT_TRIES; tries++) {
        call->error = slots_serve_new(call->ctx, token, token_len(format));
        if (call->error != ERROR_NO_SLOT) break;
        if (tries % 64 == 0 && tries >= MINT_TRIES_AT_LEAST &&
            RedisModule_Milliseconds() >= give_up_at)
            break;
        if (format == TOKEN_V2)
            token_steer(token, random_slot());
        else
            token_mint(token, format, signer);
    }
    return call->error == ERROR_NONE;
}

/* Stores a new session under a name that is free, in a key opened for writing. Its ttl comes as the
 * argument and as the number. */
static void create(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleKey *key,
                   RedisModuleString *ttl_arg, long long ttl, const struct options *options) {
    long long now = RedisModule_Milliseconds();
    long long deadline = options->max_ttl ? now + options->max_ttl * 1000 : 0;
    long long expire_at = lifetime_until(now, ttl, deadline);
    struct session *session =
        type_create(key, (struct session_times){now, deadline, (uint32_t)ttl});
    for (int i = 0; i < options->payloads_len; i += 2) {
        struct bytes name = server_bytes(options->payloads[i]);
        struct bytes data = server_bytes(options->payloads[i + 1]);
        session_put(session, name.at, name.len, data.at, data.len);
    }
    type_expire_at(key, expire_at);
    effects_start(ctx, token, expire_at, ttl_arg, &session->times, options->payloads,
                  (size_t)options->payloads_len);
    stats.payload_writes += (unsigned long long)options->payloads_len / 2;
}

static RedisModuleKey *open_for_writing(RedisModuleCtx *ctx, RedisModuleString *name) {
    return RedisModule_OpenKey(ctx, name, REDISMODULE_READ | REDISMODULE_WRITE);
}

/* Mints a token and stores a session under it. */
static bool start(struct call *call, enum token_format format, RedisModuleString *ttl_arg,
                  long long ttl, const struct options *options, char token[TOKEN_MAX_LEN]) {
    bool is_free;
    do { /* twice only if somebody stored something under a name that nobody could have known */
        if (!mint(call, format, token)) return false;
        RedisModuleString *name = RedisModule_CreateString(call->ctx, token, token_len(format));
        RedisModuleKey *key = open_for_writing(call->ctx, name);
        is_free = RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_EMPTY;
        if (is_free) create(call->ctx, name, key, ttl_arg, ttl, options);
        RedisModule_CloseKey(key);
        if (is_free) call_key_changed(call->ctx, name, "sessiongate.start");
        RedisModule_FreeString(call->ctx, name);
    } while (!is_free);
    stats.sessions_started++;
    return true;
}

int cmd_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 3 || argc == 4) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    long long ttl;
    char token[TOKEN_MAX_LEN];
    if (!call_begin(&call, ctx, argv) || !call_check_ttl(&call, argv[2], &ttl) ||
        !check_options(&call, argv + 3, argc - 3, START, &options) ||
        !call_check_room(&call, options.payloads, options.payloads_len))
        return call_refuse(&call);
    enum token_format format =
        (enum token_format)(options.format == -1 ? config.token_format : options.format);
    if (ttl == 0) /* over already: there is nothing to store */
        token_mint(token, format, signer_of(call.sign_key));
    else if (!start(&call, format, argv[2], ttl, &options, token))
        return call_refuse(&call);
    RedisModule_ReplyWithStringBuffer(ctx, token, token_len(format));
    return call_end(&call);
}

/* Whether the name of the call's token is free for a new session. */
static bool check_free(struct call *call) {
    bool is_alias = call_aliases(call) > 0 || alias_of(call->key);
    if (call->session || is_alias) return call_error(call, ERROR_BUSY_TOKEN);
    return call->missing == ERROR_NO_SESSION || call_error(call, call->missing);
}

int cmd_adopt(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 4 || argc == 5) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    long long ttl;
    if (!call_open(&call, ctx, argv, call_write_mode()) || !call_check_ttl(&call, argv[3], &ttl) ||
        !check_options(&call, argv + 4, argc - 4, ADOPT, &options) || !check_free(&call) ||
        !call_check_room(&call, options.payloads, options.payloads_len))
        return call_refuse(&call);
    if (ttl > 0) {
        if (!call_change(&call)) return call_refuse(&call);
        create(ctx, call_token(&call), call.key, argv[3], ttl, &options);
        call_changed(&call, "sessiongate.adopt");
        stats.sessions_adopted++;
    }
    return call_ok(&call);
}

/* Makes the token of a successor. A command may not open a key of another slot than its declared
 * one: the successor is steered into the slot of the token, without a cluster as well where it can
 * be (v2), so that a rotated token still leads there when the data move into one. */
static bool mint_successor(struct call *call, struct bytes sign_key, char token[TOKEN_MAX_LEN],
                           size_t *len) {
    struct bytes old = server_bytes(call_token(call));
    enum token_format format = slots_exist() ? TOKEN_V2 : token_format(old.len);
    *len = token_len(format);
    token_mint(token, format, signer_of(sign_key));
    if (format == TOKEN_V2) token_steer(token, slot_of(old.at, old.len));
    if (!slots_exist()) return true;
    /* A slot that is moving away takes no new keys: they would be left behind. */
    enum error error = slots_serve(call->ctx, token, *len);
    if (error == ERROR_NONE) return true;
    return call_error(call, error == ERROR_NO_SLOT ? ERROR_TRY_AGAIN : error);
}

/* Moves the session of the call to the new name. Its old name becomes an alias for the grace;
 * without one it is dead, and so is every alias that the call came through. */
static void rotate(struct call *call, RedisModuleString *successor, RedisModuleKey *to,
                   const struct options *options) {
    struct session_times *times = &call->session->times; /* the session moves as it is */
    long long now = RedisModule_Milliseconds();
    long long expire_at = type_expires_at(call->key);
    if (options->ttl) times->ttl = (uint32_t)options->ttl;
    if (options->max_ttl) times->deadline_ms = now + options->max_ttl * 1000;
    if (options->ttl) expire_at = now + options->ttl * 1000;
    expire_at = lifetime_cut(expire_at, times->deadline_ms);

    type_move(call->key, to);
    times = &type_session(to)->times;
    type_expire_at(to, expire_at);
    long long alias_expire_at = options->grace > 0 ? now + options->grace * 1000 : 0;
    if (alias_expire_at && alias_create(call->key, server_bytes(successor)))
        type_expire_at(call->key, alias_expire_at);
    else
        type_remove(call->key);
    call_remove_aliases(call);
    effects_rotate(call->ctx, call_token(call), successor, expire_at, times, alias_expire_at,
                   call->names, call_aliases(call));
    stats.sessions_rotated++;
}

int cmd_rotate(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 3) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !check_options(&call, argv + 3, argc - 3, ROTATE, &options) ||
        !call_requires_session(&call))
        return call_refuse(&call);
    if (options.grace > 0 && call_aliases(&call) > 0) {
        /* Rotated already, by a request that ran beside this one: both get the same successor.
         * Without a grace that would be wrong: a login must not be given a token that somebody else
         * holds. */
        RedisModule_ReplyWithString(ctx, call_token(&call));
        return call_end(&call);
    }
    if (!call_change(&call)) return call_refuse(&call);
    struct bytes sign_key = options.new_key.at ? options.new_key : call.sign_key;
    bool is_free;
    do {
        char token[TOKEN_MAX_LEN];
        size_t len;
        if (!mint_successor(&call, sign_key, token, &len)) return call_refuse(&call);
        RedisModuleString *successor = RedisModule_CreateString(ctx, token, len);
        RedisModuleKey *to = open_for_writing(ctx, successor);
        is_free = RedisModule_KeyType(to) == REDISMODULE_KEYTYPE_EMPTY;
        if (is_free) {
            rotate(&call, successor, to, &options);
            RedisModule_ReplyWithStringBuffer(ctx, token, len);
        }
        RedisModule_CloseKey(to);
        if (is_free) {
            call_changed_all(&call, "sessiongate.rotate");
            call_key_changed(ctx, successor, "sessiongate.rotate");
        }
        RedisModule_FreeString(ctx, successor);
    } while (!is_free);
    return call_end(&call);
}
