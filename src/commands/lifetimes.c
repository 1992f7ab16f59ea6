/*
 * lifetimes.c - the commands on how long a session lives: how it is, how it is changed, its end.
 *
 * The last refresh of a session is not stored: EXPIRE, START and TOUCH let it expire ttl seconds
 * later, so it was ttl seconds before the time of expiry. Where that was cut to the deadline it is
 * not known, but then a further refresh would change nothing either.
 */
#include "config.h"
#include "effects.h"
#include "handlers.h"
#include "owned.h"
#include "stats.h"
#include "type.h"

long long lifetime_until(long long now, long long ttl, long long deadline_ms) {
    return lifetime_cut(now + ttl * 1000, deadline_ms);
}

long long lifetime_cut(long long expire_at, long long deadline_ms) {
    bool passes = expire_at == TYPE_NO_EXPIRY || expire_at > deadline_ms;
    return deadline_ms && passes ? deadline_ms : expire_at;
}

/* Ends the session of a call that was checked, and the aliases that led to it. */
static int end_session(struct call *call) {
    struct owned owned;
    owned_open_to_end(&owned, call);
    if (!call_change(call)) {
        owned_close(&owned);
        return call_refuse(call);
    }
    type_remove(call->key);
    call_remove_aliases(call);
    owned_gone(&owned, call_token(call));
    struct strings names = {call->names, call->names_len};
    if (owned.change.owner)
        effects_oend(call->ctx, owned.change, NULL, names, (struct strings){0});
    else
        effects_end(call->ctx, names);
    owned_close(&owned);
    call_changed(call, "sessiongate.end");
    stats.sessions_ended++;
    return call_ok(call);
}

int cmd_end(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 3) return RedisModule_WrongArity(ctx);
    struct call call;
    if (!call_open(&call, ctx, argv, call_write_mode()) || !call_requires_session(&call))
        return call_refuse(&call);
    return end_session(&call);
}

int cmd_expire(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4) return RedisModule_WrongArity(ctx);
    struct call call;
    long long ttl;
    if (!call_open(&call, ctx, argv, call_write_mode()) || !call_check_ttl(&call, argv[3], &ttl) ||
        !call_requires_session(&call))
        return call_refuse(&call);
    if (ttl == 0) return end_session(&call);
    struct owned owned;
    if (!owned_open(&owned, &call) || !call_change(&call)) {
        owned_close(&owned);
        return call_refuse(&call);
    }
    call_sweep(&call, 0);
    struct session_times *times = &call.session->times;
    long long expire_at = lifetime_until(RedisModule_Milliseconds(), ttl, times->deadline_ms);
    times->ttl = (uint32_t)ttl;
    type_expire_at(call.key, expire_at);
    owned_keep(&owned, call_token(&call), times, expire_at);
    struct effects_change change = call_effect(&call);
    effects_expire(ctx, &change, expire_at, argv[3], owned.change);
    owned_close(&owned);
    call_changed(&call, "sessiongate.expire");
    return call_ok(&call);
}

static bool check_minage(struct call *call, RedisModuleString **argv, int argc, long long *minage) {
    *minage = 0;
    if (argc == 3) return true;
    if (argc != 5 || !call_is_option(argv[3], "MINAGE")) return call_error(call, ERROR_SYNTAX);
    return call_check_number(call, argv[4], 0, CONFIG_TTL_MAX, ERROR_MINAGE, minage);
}

/* Milliseconds until expire_at, -1 when there is no expiry. */
static long long left_ms(long long expire_at, long long now) {
    if (expire_at == TYPE_NO_EXPIRY) return -1;
    return expire_at > now ? expire_at - now : 0;
}

/* Replies with seconds, rounded as the server's own TTL does. */
static void reply_seconds(RedisModuleCtx *ctx, long long ms) {
    RedisModule_ReplyWithLongLong(ctx, ms < 0 ? ms : (ms + 500) / 1000);
}

/* Whether a refresh is due: without MINAGE always; else when the last one was that long ago, or
 * half of the ttl, so that a session is refreshed in time however short its life is. */
static bool is_due(const struct session_times *times, long long expire_at, long long now,
                   long long minage) {
    if (expire_at == TYPE_NO_EXPIRY || minage == 0) return true;
    long long ttl_ms = (long long)times->ttl * 1000;
    long long age = now - (expire_at - ttl_ms);
    return age >= minage * 1000 || age >= ttl_ms / 2;
}

/* Refreshes a session that is due, and looks after its list. False: call->error says why not. */
static bool refresh_session(struct call *call, long long expire_at, long long refreshed) {
    struct owned owned;
    bool good = owned_open(&owned, call) && call_change(call);
    if (good) {
        const struct session_times *times = &call->session->times;
        if (refreshed != expire_at) call_sweep(call, 0);
        type_expire_at(call->key, refreshed);
        owned_keep(&owned, call_token(call), times, refreshed);
        struct effects_change change = call_effect(call);
        if (refreshed != expire_at || owned.change.owner)
            effects_touch(call->ctx, &change, refreshed, times->ttl, owned.change);
    }
    owned_close(&owned);
    if (good && refreshed != expire_at) call_changed(call, "sessiongate.touch");
    return good;
}

int cmd_touch(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 3) return RedisModule_WrongArity(ctx);
    struct call call;
    long long minage;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !check_minage(&call, argv, argc, &minage) || !call_requires_session(&call))
        return call_refuse(&call);
    const struct session_times *times = &call.session->times;
    long long now = RedisModule_Milliseconds();
    long long expire_at = type_expires_at(call.key);
    if (times->ttl > 0 && is_due(times, expire_at, now, minage)) {
        long long refreshed = lifetime_until(now, times->ttl, times->deadline_ms);
        bool matters = refreshed != expire_at || call.session->owner_len > 0;
        if (matters && !refresh_session(&call, expire_at, refreshed)) return call_refuse(&call);
        expire_at = refreshed;
    }
    reply_seconds(ctx, left_ms(expire_at, now));
    return call_end(&call);
}

int cmd_ttl(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 3) return RedisModule_WrongArity(ctx);
    struct call call;
    if (!call_open(&call, ctx, argv, CALL_READ) || !call_requires_session(&call))
        return call_refuse(&call);
    reply_seconds(ctx, left_ms(type_expires_at(call.key), RedisModule_Milliseconds()));
    return call_end(&call);
}

static void reply_info(struct call *call) {
    RedisModuleCtx *ctx = call->ctx;
    const struct session *session = call->session;
    struct over over = {0};
    if (session_has_lives(session)) over = session_over(session, call_now(call), UINT32_MAX);
    const struct {
        const char *name;
        long long value;
    } numbers[] = {
        {"created", session->times.created_ms},
        {"ttl", left_ms(type_expires_at(call->key), RedisModule_Milliseconds())},
        {"idle", (long long)session->times.ttl * 1000},
        {"deadline", session->times.deadline_ms},
        {"payloads", session_payloads(session) - over.payloads},
        {"bytes", (long long)(session_payload_bytes(session) - over.bytes)},
    };
    size_t numbers_len = sizeof numbers / sizeof *numbers;
    server_reply_map(ctx, (long)numbers_len + 1);
    for (size_t i = 0; i < numbers_len; i++) {
        server_reply_text(ctx, numbers[i].name);
        RedisModule_ReplyWithLongLong(ctx, numbers[i].value);
    }
    server_reply_text(ctx, "owner");
    if (session->owner_len > 0)
        RedisModule_ReplyWithStringBuffer(ctx, session->owner, session->owner_len);
    else
        RedisModule_ReplyWithNull(ctx);
}

int cmd_info(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 3) return RedisModule_WrongArity(ctx);
    struct call call;
    if (!call_open(&call, ctx, argv, CALL_READ) || !call_requires_session(&call))
        return call_refuse(&call);
    reply_info(&call);
    return call_end(&call);
}
