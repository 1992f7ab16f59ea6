/*
 * effects.h - what a change of a session looks like in the AOF and on replicas.
 *
 *     START, ADOPT       SGREPLAY.START <token> <expire_at> <ttl>
 *                            [<created> <deadline> [<name> <data> ...]]
 *     PSET, PMSET        SGREPLAY.PSET <token> <name> <data> [<name> <data> ...]
 *       with a life      SGREPLAY.PSETEX <token> <ends_at> <name> <data> [<alias> ...]
 *       by an alias      SGREPLAY.PSETVIA <token> <count> <alias> ...
 *                            <name> <data> [<name> <data> ...]
 *     PDEL, PPOP         SGREPLAY.PDEL <token> <name> [<alias> ...]
 *     EXPIRE             SGREPLAY.EXPIRE <token> <expire_at> <ttl> [<alias> ...]
 *     TOUCH              SGREPLAY.TOUCH <token> <expire_at> [<alias> ...]
 *     ROTATE             SGREPLAY.ROTATE <token> <successor> <expire_at> <deadline> <ttl>
 *                            <alias_expire_at> [<alias> ...]
 *     EXPIRE 0, END      SGREPLAY.END <token> [<token> ...]
 *     a rewritten AOF    SGREPLAY.LOAD <token> <chunk> [<chunk> ...]
 *                        SGREPLAY.ALIAS <token> <successor>
 *
 *     removed before     SGREPLAY.SWEPT <token> <now> <count> <effect> <token> ...
 *
 * and of a session that has an owner, where the owner's list changes too,
 *
 *     OSTART             SGREPLAY.OSTART <token> <owner> <expire_at> <ttl> <created> <deadline>
 *                            <list_expire_at> <count> <count> [<ended> ...] [<dead> ...]
 *                            [<name> <data> ...]
 *     EXPIRE, TOUCH      SGREPLAY.OEXPIRE <token> <owner> <expire_at> <ttl> <list_expire_at>
 *                            [<alias> ...]
 *     ROTATE             SGREPLAY.OROTATE <token> <successor> <owner> <expire_at> <deadline> <ttl>
 *                            <alias_expire_at> <list_expire_at> [<alias> ...]
 *     OEND, END          SGREPLAY.OEND <owner> <list_expire_at> <kept> <count> [<ended> ...]
 *                            [<dead> ...]
 *     a rewritten AOF    SGREPLAY.OWNER <owner> <token>
 *
 * Times are in unix ms, the ttl in seconds; 0 means none, as in session.h and type.h. The aliases
 * of ROTATE and the tokens of END are deleted. Other aliases are those that a change came through:
 * they stay, but clients that cached what they read through them are told.
 *
 * SWEPT holds the effect of a call that wrote, and says that the session lost the first <count> of
 * its payloads before that were over at <now>, in the order of lives.h.
 *
 * An <owner> is a label. Its list has the token from then on, and expires at <list_expire_at>. The
 * <ended>, <count> of them, leave it and are deleted: sessions, and aliases that END came through.
 * The <dead> only leave it: whatever is under their names now is not the owner's. The <kept> is put
 * back into it, where that is not empty. A list without tokens is deleted.
 *
 * The <chunk>s are those that an RDB file would hold of the session, chunk.h has their bytes. One
 * command has them all, and the first says how many payloads there are: so a session is loaded
 * whole, at once, or not at all. Chunks that are damaged, or not all there, leave no session, and a
 * warning in the log: half a session is worse than none, and so is the one that it was to replace.
 * In several commands the half would have to be kept under the token meanwhile, where nobody could
 * tell that the last one was lost: the chunks of two sessions, and other effects, may come in turns.
 *
 * Effects are absolute, carry no sign key, and are sent after the change was made. A call sends
 * one: the server wraps two in MULTI and EXEC, and then refuses them where it would not refuse one.
 * All are commands of our own: the server's can be renamed away in its configuration, and an effect
 * by such a name would be lost without a word.
 */
#ifndef SESSIONGATE_EFFECTS_H
#define SESSIONGATE_EFFECTS_H

#include "server.h"
#include "session.h"
#include "tokenlist.h"

#define REPLAY_START "SGREPLAY.START"
#define REPLAY_PSET "SGREPLAY.PSET"
#define REPLAY_PSETVIA "SGREPLAY.PSETVIA"
#define REPLAY_PSETEX "SGREPLAY.PSETEX"
#define REPLAY_PDEL "SGREPLAY.PDEL"
#define REPLAY_EXPIRE "SGREPLAY.EXPIRE"
#define REPLAY_TOUCH "SGREPLAY.TOUCH"
#define REPLAY_ROTATE "SGREPLAY.ROTATE"
#define REPLAY_END "SGREPLAY.END"
#define REPLAY_LOAD "SGREPLAY.LOAD"
#define REPLAY_ALIAS "SGREPLAY.ALIAS"
#define REPLAY_SWEPT "SGREPLAY.SWEPT"
#define REPLAY_OSTART "SGREPLAY.OSTART"
#define REPLAY_OEXPIRE "SGREPLAY.OEXPIRE"
#define REPLAY_OROTATE "SGREPLAY.OROTATE"
#define REPLAY_OEND "SGREPLAY.OEND"
#define REPLAY_OWNER "SGREPLAY.OWNER"

/* Strings as a call has them; .len of them. */
struct strings {
    RedisModuleString **at;
    size_t len;
};

/* The payloads that a call removed before its change, since they were over at an instant. */
struct effects_sweep {
    long long now_ms;
    uint32_t payloads;
};

/* The session that a call changed, and the aliases that it came through. */
struct effects_change {
    RedisModuleString *token;
    struct strings aliases;
    struct effects_sweep sweep;
};

/* The change of an owner's list that goes with one of a session; without one, .owner is NULL. */
struct effects_list {
    RedisModuleString *owner;
    long long expire_at;
};

/* Payloads are names and data by turns. Without a deadline and payloads the short form says it all:
 * created was ttl seconds before expire_at. */
void effects_start(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at,
                   RedisModuleString *ttl, const struct session_times *times,
                   struct strings payloads);
void effects_pset(RedisModuleCtx *ctx, const struct effects_change *change, struct strings payloads,
                  long long ends_at);
void effects_pdel(RedisModuleCtx *ctx, const struct effects_change *change,
                  RedisModuleString *name);
void effects_expire(RedisModuleCtx *ctx, const struct effects_change *change, long long expire_at,
                    RedisModuleString *ttl, struct effects_list list);
void effects_touch(RedisModuleCtx *ctx, const struct effects_change *change, long long expire_at,
                   uint32_t ttl, struct effects_list list);
void effects_rotate(RedisModuleCtx *ctx, const struct effects_change *change,
                    RedisModuleString *successor, long long expire_at,
                    const struct session_times *times, long long alias_expire_at,
                    struct effects_list list);
void effects_end(RedisModuleCtx *ctx, struct strings tokens);
void effects_ostart(RedisModuleCtx *ctx, RedisModuleString *token, struct effects_list list,
                    long long expire_at, RedisModuleString *ttl, const struct session_times *times,
                    struct strings ended, struct strings dead, struct strings payloads);

/* kept: NULL for none. */
void effects_oend(RedisModuleCtx *ctx, struct effects_list list, RedisModuleString *kept,
                  struct strings ended, struct strings dead);

/* A whole session, alias or owner as effects, for an AOF that is rewritten and for Valkey's atomic
 * slot migration. The server itself adds the expiry. */
void effects_rewrite(RedisModuleIO *aof, RedisModuleString *token, const struct session *session);
void effects_rewrite_owner(RedisModuleIO *aof, RedisModuleString *owner,
                           const struct tokenlist *tokens);
void effects_rewrite_alias(RedisModuleIO *aof, RedisModuleString *token, struct bytes successor);

#endif
