/*
 * replay.h - the internal commands: what effects.h sends, carried out.
 *
 * They run only when the server itself sends them: over the replication link, or from an AOF that
 * it loads. To any client they answer an error, in every state of the server. They create what is
 * missing and overwrite what is there, since a replica cannot refuse its master, and pass
 * themselves on to the replica's own AOF and replicas.
 */
#ifndef SESSIONGATE_REPLAY_H
#define SESSIONGATE_REPLAY_H

#include "server.h"

int replay_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_pset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_pdel(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_expire(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_rotate(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);
int replay_alias(RedisModuleCtx *ctx, RedisModuleString **argv, int argc);

#endif
