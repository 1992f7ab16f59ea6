/*
 * effects.h - what a change of a session looks like in the AOF and on replicas.
 *
 *     START            SESSIONGATE.REPLAY.START <token> <expire_at>     unix ms; 0: no expiry
 *     PSET             SESSIONGATE.REPLAY.PSET <token> <name> <data>
 *     PDEL             SESSIONGATE.REPLAY.PDEL <token> <name>
 *     EXPIRE           PEXPIREAT <token> <expire_at>
 *     EXPIRE 0, END    UNLINK <token>
 *
 * Effects are absolute and carry no sign key. Each is sent once, after the change was made.
 */
#ifndef SESSIONGATE_EFFECTS_H
#define SESSIONGATE_EFFECTS_H

#include "core/session.h"
#include "server.h"

#define REPLAY_START "SESSIONGATE.REPLAY.START"
#define REPLAY_PSET "SESSIONGATE.REPLAY.PSET"
#define REPLAY_PDEL "SESSIONGATE.REPLAY.PDEL"

void effects_start(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at);
void effects_pset(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString *name,
                  RedisModuleString *data);
void effects_pdel(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString *name);
void effects_expire(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at);
void effects_end(RedisModuleCtx *ctx, RedisModuleString *token);

/* The whole session as effects, for an AOF that is rewritten and for Valkey's atomic slot migration.
 * The server itself adds the expiry. */
void effects_rewrite(RedisModuleIO *aof, RedisModuleString *token, const struct session *session);

#endif
