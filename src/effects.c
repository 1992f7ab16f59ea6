/*
 * effects.c - the effects of effects.h, sent.
 *
 * RedisModule_Replicate also when nobody seems to listen: a module cannot know (a replication backlog,
 * a slot under migration), and a skipped effect is a lost write.
 */
#include "effects.h"

void effects_start(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at) {
    RedisModule_Replicate(ctx, REPLAY_START, "sl", token, expire_at);
}

void effects_pset(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString *name,
                  RedisModuleString *data) {
    RedisModule_Replicate(ctx, REPLAY_PSET, "sss", token, name, data);
}

void effects_pdel(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString *name) {
    RedisModule_Replicate(ctx, REPLAY_PDEL, "ss", token, name);
}

void effects_expire(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at) {
    RedisModule_Replicate(ctx, "PEXPIREAT", "sl", token, expire_at);
}

void effects_end(RedisModuleCtx *ctx, RedisModuleString *token) {
    RedisModule_Replicate(ctx, "UNLINK", "s", token);
}

void effects_rewrite(RedisModuleIO *aof, RedisModuleString *token, const struct session *session) {
    /* First the session itself: one without payloads must come back too. */
    RedisModule_EmitAOF(aof, REPLAY_START, "sl", token, 0LL);
    struct session_cursor cursor = {0};
    const struct payload *payload;
    while ((payload = session_next(session, &cursor)))
        RedisModule_EmitAOF(aof, REPLAY_PSET, "sbb", token, payload_name(payload),
                            (size_t)payload->name_len, payload_data(payload),
                            (size_t)payload->data_len);
}
