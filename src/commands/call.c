/*
 * call.c - the steps of call.h.
 */
#include "call.h"

#include <string.h>
#include <strings.h>

#include "alias.h"
#include "clock.h"
#include "config.h"
#include "effects.h"
#include "slot.h"
#include "slots.h"
#include "stats.h"
#include "type.h"

/* A server that cannot be told of changes explicitly takes any closing of a key that was opened for
 * writing as a change. */
int call_write_mode(void) {
    return server_signals_explicitly() ? REDISMODULE_READ | REDISMODULE_WRITE : REDISMODULE_READ;
}

bool call_error(struct call *call, enum error error) {
    call->error = error;
    return false;
}

/* What a call has to answer when there is no session under the name of an opened key. */
static enum error why_missing(RedisModuleKey *key) {
    return RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_EMPTY ? ERROR_NO_SESSION
                                                                 : ERROR_WRONG_TYPE;
}

/* A successor that is not here although its alias is: while their slot moves key by key it may be
 * on the other node, which only the server can tell. */
static enum error why_successor_missing(struct call *call) {
    if (!slots_exist()) return ERROR_NO_SESSION;
    bool is_replica = RedisModule_GetContextFlags(call->ctx) & REDISMODULE_CTX_FLAGS_SLAVE;
    RedisModuleString *alias = call->names[call->names_len - 2];
    enum error error = is_replica ? slots_serve_reads(call->ctx, alias, call_token(call))
                                  : slots_serve_both(call->ctx, alias, call_token(call));
    return error == ERROR_NO_SLOT ? ERROR_TRY_AGAIN : ERROR_NO_SESSION;
}

/* Goes on to the successor of an alias, and to the successor's if that was rotated too. */
static void follow_aliases(struct call *call, struct alias *alias, int mode) {
    struct bytes successor;
    call->missing = ERROR_NO_SESSION;
    while (alias && call_aliases(call).len < CALL_ALIASES_MAX) {
        successor = (struct bytes){.at = alias->successor, .len = alias->successor_len};
        struct bytes name = server_bytes(call_token(call));
        /* No command may open a key of another slot; only a renamed alias has one there. */
        if (slots_exist() && slot_of(name.at, name.len) != slot_of(successor.at, successor.len))
            return;
        call->names[call->names_len++] =
            RedisModule_CreateString(call->ctx, successor.at, successor.len);
        RedisModule_CloseKey(call->key);
        call->key = RedisModule_OpenKey(call->ctx, call_token(call), mode);
        call->session = type_session(call->key);
        alias = alias_of(call->key);
        call->missing = why_missing(call->key);
        if (call->missing == ERROR_NO_SESSION && !call->session)
            call->missing = why_successor_missing(call);
    }
    if (alias) call->missing = ERROR_NO_SESSION;
}

static bool check_bytes(struct call *call, RedisModuleString *arg, long long max, enum error error,
                        struct bytes *bytes) {
    *bytes = server_bytes(arg);
    call->limit = max;
    return (bytes->len >= 1 && bytes->len <= (size_t)max) || call_error(call, error);
}

bool call_check_sign_key(struct call *call, RedisModuleString *arg, enum error error,
                         struct bytes *sign_key) {
    return check_bytes(call, arg, CALL_SIGN_KEY_MAX, error, sign_key);
}

bool call_begin(struct call *call, RedisModuleCtx *ctx, RedisModuleString **argv) {
    *call = (struct call){.ctx = ctx};
    return call_check_sign_key(call, argv[1], ERROR_SIGN_KEY, &call->sign_key);
}

/* The key is looked up before the token is verified, since it remembers what it was verified for;
 * the error of a bad token does not depend on what was found. */
bool call_open_token(struct call *call, RedisModuleString *arg, int mode) {
    struct bytes token = server_bytes(arg);
    struct bytes sign_key = call->sign_key;
    call->names[call->names_len++] = arg;
    if (token_may_be(token.at, token.len)) call->key = RedisModule_OpenKey(call->ctx, arg, mode);
    call->session = type_session(call->key);
    if (call->session) {
        call->error = token_verify_once(&call->session->verified, token.at, token.len, sign_key.at,
                                        sign_key.len);
        return call->error == ERROR_NONE;
    }
    struct alias *alias = alias_of(call->key);
    call->error =
        alias ? token_verify_once(&alias->verified, token.at, token.len, sign_key.at, sign_key.len)
              : token_verify(token.at, token.len, sign_key.at, sign_key.len);
    if (call->error != ERROR_NONE) return false;
    if (alias)
        follow_aliases(call, alias, mode);
    else
        call->missing = why_missing(call->key);
    return true;
}

bool call_open(struct call *call, RedisModuleCtx *ctx, RedisModuleString **argv, int mode) {
    return call_begin(call, ctx, argv) && call_open_token(call, argv[2], mode);
}

bool call_requires_session(struct call *call) {
    return call->session || call_error(call, call->missing);
}

bool call_check_number(struct call *call, RedisModuleString *arg, long long min, long long max,
                       enum error error, long long *number) {
    if (RedisModule_StringToLongLong(arg, number) == REDISMODULE_OK && *number >= min &&
        *number <= max)
        return true;
    call->limit = max;
    return call_error(call, error);
}

bool call_check_ttl(struct call *call, RedisModuleString *arg, long long *ttl) {
    return call_check_number(call, arg, 0, config.max_ttl, ERROR_TTL, ttl);
}

bool call_check_owner(struct call *call, RedisModuleString *arg, struct bytes *owner) {
    return check_bytes(call, arg, SESSION_OWNER_MAX, ERROR_OWNER, owner);
}

bool call_check_name(struct call *call, RedisModuleString *arg, struct bytes *name) {
    return check_bytes(call, arg, config.max_payload_name, ERROR_NAME, name);
}

bool call_check_known_name(struct call *call, RedisModuleString *arg, struct bytes *name) {
    long long max = config.max_payload_name;
    return check_bytes(call, arg, max > CONFIG_NAME_PROMISED ? max : CONFIG_NAME_PROMISED,
                       ERROR_NAME, name);
}

bool call_check_data(struct call *call, RedisModuleString *arg, struct bytes *data) {
    return check_bytes(call, arg, config.max_payload_size, ERROR_DATA, data);
}

bool call_check_payloads(struct call *call, RedisModuleString **argv, int argc) {
    struct bytes ignored;
    for (int i = 0; i < argc; i += 2)
        if (!call_check_name(call, argv[i], &ignored) ||
            !call_check_data(call, argv[i + 1], &ignored))
            return false;
    return true;
}

long long call_now(struct call *call) {
    if (call->now_ms == 0) call->now_ms = clock_now_ms();
    return call->now_ms;
}

void call_sweep_lives(struct call *call, size_t adds) {
    uint32_t at_most = adds > CALL_SWEEP_MAX ? (uint32_t)adds : CALL_SWEEP_MAX;
    call->sweep.now_ms = call_now(call);
    call->sweep.payloads = session_sweep(call->session, call->sweep.now_ms, at_most);
}

/* A name that is given twice may count twice: only a session that is nearly full notices. */
bool call_check_full(struct call *call, RedisModuleString **payloads, int payloads_len) {
    long long had = call->session ? session_payloads(call->session) : 0, adds = payloads_len / 2;
    if (call->session) { /* what is over does not count, and makes room */
        uint32_t excess = (uint32_t)(had + adds - config.max_payloads);
        had -= session_over(call->session, call_now(call), excess).payloads;
        if (had + adds <= config.max_payloads) return true;
    }
    long long now = had;
    call->limit = config.max_payloads;
    struct payload ignored;
    for (int i = 0; i < payloads_len; i += 2)
        if (!call->session || !call_find(call, server_bytes(payloads[i]), &ignored)) now++;
    /* A session from before the limit was lowered keeps what it has, and may change it. */
    return now <= config.max_payloads || now == had || call_error(call, ERROR_FULL);
}

bool call_change(struct call *call) {
    if (server_signals_explicitly()) return true;
    bool had_session = call->session != NULL;
    RedisModule_CloseKey(call->key);
    call->key =
        RedisModule_OpenKey(call->ctx, call_token(call), REDISMODULE_READ | REDISMODULE_WRITE);
    call->session = type_session(call->key);
    return (call->session != NULL) == had_session || call_error(call, ERROR_NO_SESSION);
}

void call_key_changed(RedisModuleCtx *ctx, RedisModuleString *key, const char *event) {
    if (!server_signals_explicitly()) return;
    RedisModule_SignalModifiedKey(ctx, key);
    RedisModule_NotifyKeyspaceEvent(ctx, REDISMODULE_NOTIFY_MODULE, event, key);
}

void call_changed(struct call *call, const char *event) {
    RedisModule_CloseKey(call->key);
    call->key = NULL;
    call->session = NULL;
    call_key_changed(call->ctx, call_token(call), event);
    struct strings aliases = call_aliases(call);
    for (size_t i = 0; i < aliases.len && server_signals_explicitly(); i++)
        RedisModule_SignalModifiedKey(call->ctx, aliases.at[i]);
}

void call_remove_aliases(struct call *call) {
    struct strings aliases = call_aliases(call);
    for (size_t i = 0; i < aliases.len; i++) {
        RedisModuleKey *alias =
            RedisModule_OpenKey(call->ctx, aliases.at[i], REDISMODULE_READ | REDISMODULE_WRITE);
        type_remove(alias);
        RedisModule_CloseKey(alias);
    }
}

int call_end(struct call *call) {
    if (call->key) RedisModule_CloseKey(call->key);
    for (size_t i = 1; i < call->names_len; i++) RedisModule_FreeString(call->ctx, call->names[i]);
    return REDISMODULE_OK;
}

int call_ok(struct call *call) {
    RedisModule_ReplyWithSimpleString(call->ctx, "OK");
    return call_end(call);
}

int call_refuse(struct call *call) {
    stats_refused(call->error);
    server_reply_error(call->ctx, call->error, call->limit);
    return call_end(call);
}

bool call_is_option(RedisModuleString *arg, const char *option) {
    struct bytes bytes = server_bytes(arg);
    return strlen(option) == bytes.len && strncasecmp(bytes.at, option, bytes.len) == 0;
}
