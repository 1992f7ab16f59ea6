/*
 * effects.h - what a change of a session looks like in the AOF and on replicas.
 *
 *     START, ADOPT       SGREPLAY.START <token> <expire_at> <ttl>
 *                            [<created> <deadline> [<name> <data> ...]]
 *     PSET, PMSET        SGREPLAY.PSET <token> <name> <data> [<name> <data> ...]
 *     PDEL, PPOP         SGREPLAY.PDEL <token> <name>
 *     EXPIRE             SGREPLAY.EXPIRE <token> <expire_at> <ttl>
 *     TOUCH              SGREPLAY.TOUCH <token> <expire_at>
 *     ROTATE             SGREPLAY.ROTATE <token> <successor> <expire_at> <deadline> <ttl>
 *                            <alias_expire_at> [<alias> ...]
 *     EXPIRE 0, END      SGREPLAY.END <token> [<token> ...]
 *     through an alias   SGREPLAY.SIGNAL <alias> [<alias> ...]
 *     a rewritten AOF    SGREPLAY.ALIAS <token> <successor>
 *
 * Times are in unix ms, the ttl in seconds; 0 means none, as in session.h and type.h. The aliases
 * of ROTATE and the tokens of END are deleted; those of SIGNAL are left as they are, but clients
 * that cached what they read through them are told. Effects are absolute and carry no sign key.
 * Each is sent once, after the change was made.
 *
 * All are commands of our own: the server's can be renamed away in its configuration, and an effect
 * by such a name would be lost without a word.
 */
#ifndef SESSIONGATE_EFFECTS_H
#define SESSIONGATE_EFFECTS_H

#include "server.h"
#include "session.h"

/* The server looks each up by name: a character costs it 24 instructions of PSET's 11,600. */
#define REPLAY_START "SGREPLAY.START"
#define REPLAY_PSET "SGREPLAY.PSET"
#define REPLAY_PDEL "SGREPLAY.PDEL"
#define REPLAY_TOUCH "SGREPLAY.TOUCH"
#define REPLAY_END "SGREPLAY.END"
#define REPLAY_SIGNAL "SGREPLAY.SIGNAL"
#define REPLAY_EXPIRE "SGREPLAY.EXPIRE"
#define REPLAY_ROTATE "SGREPLAY.ROTATE"
#define REPLAY_ALIAS "SGREPLAY.ALIAS"

/* Without a deadline and payloads the short form says it all: created was ttl seconds before
 * expire_at. Both payloads: payloads_len strings, names and data by turns. */
void effects_start(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at,
                   RedisModuleString *ttl, const struct session_times *times,
                   RedisModuleString **payloads, size_t payloads_len);
void effects_pset(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString **payloads,
                  size_t payloads_len);
void effects_pdel(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString *name);
void effects_expire(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at,
                    RedisModuleString *ttl);
void effects_touch(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at);
void effects_rotate(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString *successor,
                    long long expire_at, const struct session_times *times,
                    long long alias_expire_at, RedisModuleString **aliases, size_t aliases_len);
void effects_end(RedisModuleCtx *ctx, RedisModuleString **tokens, size_t tokens_len);
void effects_signal(RedisModuleCtx *ctx, RedisModuleString **aliases, size_t aliases_len);

/* A whole session or alias as effects, for an AOF that is rewritten and for Valkey's atomic slot
 * migration. The server itself adds the expiry. */
void effects_rewrite(RedisModuleIO *aof, RedisModuleString *token, const struct session *session);
void effects_rewrite_alias(RedisModuleIO *aof, RedisModuleString *token, struct bytes successor);

#endif
