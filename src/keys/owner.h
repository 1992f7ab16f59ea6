/*
 * owner.h - an owner as a key of the server: the data type "sgownedby".
 *
 * Its key's name is the label that the application gave the owner, its value the list of the
 * owner's tokens. The tokens are steered into the slot of the label, so that one command can open
 * them all.
 *
 * A session is an owner's when both say so: the list has its token, and the session names the owner
 * (session.h). The list alone may be out of date: of sessions that expired, were ended by hand, or
 * moved to another name, the token stays until the list is next changed.
 */
#ifndef SESSIONGATE_OWNER_H
#define SESSIONGATE_OWNER_H

#include "server.h"
#include "session.h"
#include "tokenlist.h"

struct owner {
    struct tokenlist tokens;
    uint32_t prune_at; /* at that length dead tokens are looked for; not saved */
};

/* Registers the type, and ends the sessions of owners that are evicted; only while the module
 * loads. False: the server refused it. */
bool owner_register(RedisModuleCtx *ctx);

/* The owner that an opened key holds, or NULL; key may be NULL. It belongs to the key. */
struct owner *owner_of(RedisModuleKey *key);

/* Puts an owner without tokens into a key opened for writing, in place of whatever it held. One
 * that has no tokens when its key is closed must be removed from it. */
struct owner *owner_create(RedisModuleKey *key);

/* Whether a token can be an owner's: v2, and in the slot of the label. Others are never opened by
 * way of a list. */
bool owner_may_have(struct bytes label, struct bytes token);

/* Whether the session is there and names the owner. */
bool owner_is_named(const struct session *session, struct bytes label);

/* When to look for dead tokens again, with so many living ones. */
uint32_t owner_prune_at(size_t living);

/* Ends the session under that name, if it names the owner: opened for writing, deleted, told.
 * False: there is no such session. */
bool owner_end(RedisModuleCtx *ctx, struct bytes label, RedisModuleString *token);

#endif
