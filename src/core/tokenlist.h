/*
 * tokenlist.h - a list of v2 tokens, in order of arrival, each once.
 *
 *     +------------------+------------------+---
 *     | token, 41 bytes  | token, 41 bytes  | ...      packed as token_pack says
 *     +------------------+------------------+---
 *
 * It is searched from the front: owners have a few sessions, and what bounds their number keeps a
 * search below the cost of opening a key.
 */
#ifndef SESSIONGATE_TOKENLIST_H
#define SESSIONGATE_TOKENLIST_H

#include "token.h"

struct tokenlist {
    uint8_t (*packed)[TOKEN_PACKED_LEN]; /* NULL when empty */
    uint32_t len;
};

#define TOKENLIST_MAX 65535 /* more are not taken */

void tokenlist_free(struct tokenlist *list);

/* The token at a place below len. */
void tokenlist_get(const struct tokenlist *list, uint32_t place, char token[TOKEN_V2_LEN]);

/* Each takes a token of v2's form. */
bool tokenlist_has(const struct tokenlist *list, const char token[TOKEN_V2_LEN]);

/* Puts the token last. False: it is there already, or the list is full. */
bool tokenlist_add(struct tokenlist *list, const char token[TOKEN_V2_LEN]);

/* False: it is not there. */
bool tokenlist_remove(struct tokenlist *list, const char token[TOKEN_V2_LEN]);

/* Puts a token into the place of an old one; last, where that is not there. Nothing changes where
 * the token itself is there. */
void tokenlist_replace(struct tokenlist *list, const char old[TOKEN_V2_LEN],
                       const char token[TOKEN_V2_LEN]);

/* Copies a list. */
struct tokenlist tokenlist_copy(const struct tokenlist *list);

/* Takes a list as the bytes that it has in memory. False, and the list stays empty: no such list
 * can be. */
__attribute__((warn_unused_result)) bool tokenlist_load(struct tokenlist *list,
                                                        const uint8_t *bytes, size_t bytes_len);

#endif
