/*
 * alias.h - a token that was rotated and lives on for its grace: the data type "sgrotated".
 *
 * Its key's name is the old token, its TTL what is left of the grace, its value the successor's
 * token.
 */
#ifndef SESSIONGATE_ALIAS_H
#define SESSIONGATE_ALIAS_H

#include "server.h"
#include "token.h"

struct alias {
    struct token_memory verified; /* for the old token */
    uint8_t successor_len;
    char successor[TOKEN_MAX_LEN];
};

/* Registers the type; only while the module loads. False: the server refused it. */
bool alias_register(RedisModuleCtx *ctx);

/* The alias that an opened key holds, or NULL; key may be NULL. It belongs to the key. */
struct alias *alias_of(RedisModuleKey *key);

/* Puts an alias of successor into a key opened for writing, in place of whatever it held. False,
 * and nothing changed: successor has not the form of a token. */
bool alias_create(RedisModuleKey *key, struct bytes successor);

#endif
