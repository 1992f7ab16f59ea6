/*
 * starts.c - the commands that make tokens or sessions: START, ADOPT, ROTATE.
 */
#include "alias.h"
#include "config.h"
#include "effects.h"
#include "handlers.h"
#include "options.h"
#include "secret.h"
#include "slot.h"
#include "slots.h"
#include "stats.h"
#include "token.h"
#include "type.h"

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

/* Draws the token anew until this node can store a session under it. False: call->error says why
 * not. */
static bool find_slot(struct call *call, enum token_format format, char token[TOKEN_MAX_LEN]) {
    if (!slots_exist()) return true;
    /* Since Redis 7.4 and Valkey 8.0 a server stores what a command without keys opens inside MULTI
     * in the slot of the transaction's other keys, where nobody would find it. */
    if (RedisModule_GetContextFlags(call->ctx) & REDISMODULE_CTX_FLAGS_MULTI)
        return call_error(call, ERROR_MULTI);
    const struct secret_signer *signer = signer_of(call->sign_key);
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

/* Stores a new session in a key opened for writing that holds nothing. Its ttl comes as the
 * argument and as the number. */
static void store(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleKey *key,
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

/* Opens the key of a token that was just made. It is free, unless somebody stored something under a
 * name that nobody could have known: then the call is refused, and what is there stays. */
static RedisModuleKey *open_new(struct call *call, RedisModuleString *token) {
    RedisModuleKey *key =
        RedisModule_OpenKey(call->ctx, token, REDISMODULE_READ | REDISMODULE_WRITE);
    if (RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_EMPTY) return key;
    RedisModule_CloseKey(key);
    call_error(call, ERROR_BUSY_TOKEN);
    return NULL;
}

/* Stores a session under a token that was minted for it. */
static bool start(struct call *call, struct bytes token, RedisModuleString *ttl_arg, long long ttl,
                  const struct options *options) {
    RedisModuleString *name = RedisModule_CreateString(call->ctx, token.at, token.len);
    RedisModuleKey *key = open_new(call, name);
    if (key) {
        store(call->ctx, name, key, ttl_arg, ttl, options);
        RedisModule_CloseKey(key);
        call_key_changed(call->ctx, name, "sessiongate.start");
        stats.sessions_started++;
    }
    RedisModule_FreeString(call->ctx, name);
    return key;
}

/* A ttl of 0 is over already: there is nothing to store, and any node can answer that. */
int cmd_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 3 || argc == 4) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    long long ttl;
    if (!call_begin(&call, ctx, argv) || !call_check_ttl(&call, argv[2], &ttl) ||
        !options_check(&call, argv + 3, argc - 3, OPTION_MAXTTL | OPTION_FORMAT | OPTION_PAYLOADS,
                       &options) ||
        !call_check_room(&call, options.payloads, options.payloads_len))
        return call_refuse(&call);
    bool is_given = options.given & OPTION_FORMAT;
    enum token_format format = is_given ? options.format : (enum token_format)config.token_format;
    char token[TOKEN_MAX_LEN];
    size_t len = token_len(format);
    token_mint(token, format, signer_of(call.sign_key));
    if (ttl > 0 && (!find_slot(&call, format, token) ||
                    !start(&call, (struct bytes){token, len}, argv[2], ttl, &options)))
        return call_refuse(&call);
    RedisModule_ReplyWithStringBuffer(ctx, token, len);
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
        !options_check(&call, argv + 4, argc - 4, OPTION_MAXTTL | OPTION_PAYLOADS, &options) ||
        !check_free(&call) || !call_check_room(&call, options.payloads, options.payloads_len))
        return call_refuse(&call);
    if (ttl > 0) {
        if (!call_change(&call)) return call_refuse(&call);
        store(ctx, call_token(&call), call.key, argv[3], ttl, &options);
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

/* Sets the times of the session that is about to move, and returns when it expires. */
static long long renew(struct call *call, long long now, const struct options *options) {
    struct session_times *times = &call->session->times;
    long long expire_at = type_expires_at(call->key);
    if (options->ttl) times->ttl = (uint32_t)options->ttl;
    if (options->max_ttl) times->deadline_ms = now + options->max_ttl * 1000;
    if (options->ttl) expire_at = now + options->ttl * 1000;
    return lifetime_cut(expire_at, times->deadline_ms);
}

/* Moves the session of the call to the successor. Its old name becomes an alias for the grace;
 * without one it is dead, and so is every alias that the call came through. */
static void move_to(struct call *call, RedisModuleString *successor, RedisModuleKey *to,
                    const struct options *options) {
    long long now = RedisModule_Milliseconds();
    long long expire_at = renew(call, now, options);
    type_move(call->key, to);
    const struct session_times *times = &type_session(to)->times;
    type_expire_at(to, expire_at);
    long long alias_expire_at = options->grace > 0 ? now + options->grace * 1000 : 0;
    if (alias_expire_at && alias_create(call->key, server_bytes(successor)))
        type_expire_at(call->key, alias_expire_at);
    else
        type_remove(call->key);
    call_remove_aliases(call);
    effects_rotate(call->ctx, call_token(call), successor, expire_at, times, alias_expire_at,
                   call->names, call_aliases(call));
}

/* Rotates the session of a call that was checked. */
static bool rotate(struct call *call, struct bytes token, const struct options *options) {
    if (!call_change(call)) return false;
    RedisModuleString *successor = RedisModule_CreateString(call->ctx, token.at, token.len);
    RedisModuleKey *to = open_new(call, successor);
    if (to) {
        move_to(call, successor, to, options);
        RedisModule_CloseKey(to);
        call_changed_all(call, "sessiongate.rotate");
        call_key_changed(call->ctx, successor, "sessiongate.rotate");
        stats.sessions_rotated++;
    }
    RedisModule_FreeString(call->ctx, successor);
    return to;
}

/* With a grace, a token that was rotated already leads everybody to the same successor: requests
 * that ran beside each other. Without one that would be wrong: a login must not be given a token
 * that somebody else holds. */
int cmd_rotate(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 3) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    char token[TOKEN_MAX_LEN];
    size_t len;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !options_check(&call, argv + 3, argc - 3,
                       OPTION_MAXTTL | OPTION_TTL | OPTION_GRACE | OPTION_NEWKEY, &options) ||
        !call_requires_session(&call))
        return call_refuse(&call);
    if (options.grace > 0 && call_aliases(&call) > 0) {
        RedisModule_ReplyWithString(ctx, call_token(&call));
        return call_end(&call);
    }
    bool has_new_key = options.given & OPTION_NEWKEY;
    if (!mint_successor(&call, has_new_key ? options.new_key : call.sign_key, token, &len) ||
        !rotate(&call, (struct bytes){token, len}, &options))
        return call_refuse(&call);
    RedisModule_ReplyWithStringBuffer(ctx, token, len);
    return call_end(&call);
}
