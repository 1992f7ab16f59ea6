/*
 * type.c - the methods of the data type: RDB, AOF, memory, digest, copy, defragmentation.
 *
 * RDB format 3 (the type's encoding version), written by rdb_save:
 *
 *     chunk     string      the session as bytes, as chunk.h says; again until all payloads that
 *                           the head of the first announces were read
 *
 * A session of a few payloads is one string: each further value would cost the server reads and
 * checksums of single bytes. Formats 1 and 2 were never released. The key's name and TTL are the
 * server's to save; what a client was verified for is never saved.
 */
#include "type.h"

#include "chunk.h"
#include "effects.h"
#include "memory.h"
#include "methods.h"
#include "stats.h"

#define TYPE_NAME "sgsession" /* nine characters, part of every RDB file: never change it */
#define RDB_FORMAT 3

static RedisModuleType *session_type;

static struct session *count_made(struct session *session) {
    stats_sessions_live(1);
    return session;
}

static void free_value(void *value) {
    stats_sessions_live(-1);
    session_free(value);
}

struct session *type_session(RedisModuleKey *key) {
    if (RedisModule_ModuleTypeGetType(key) != session_type) return NULL;
    return RedisModule_ModuleTypeGetValue(key);
}

struct session *type_create(RedisModuleKey *key, struct session_times times, struct bytes owner) {
    struct session *session = count_made(session_create());
    if (owner.len > 0) session = session_own(session, owner.at, owner.len);
    session->times = times;
    RedisModule_ModuleTypeSetValue(key, session_type, session);
    return session;
}

void type_move(RedisModuleKey *from, RedisModuleKey *to) {
    void *session = NULL;
    if (RedisModule_ModuleTypeReplaceValue)
        RedisModule_ModuleTypeReplaceValue(from, session_type, count_made(session_create()),
                                           &session);
    else /* before Redis 6.0 a value cannot be taken out of its key */
        session = count_made(session_copy(type_session(from)));
    RedisModule_ModuleTypeSetValue(to, session_type, session);
}

long long type_expires_at(RedisModuleKey *key) {
    if (RedisModule_GetAbsExpire) {
        mstime_t at = RedisModule_GetAbsExpire(key);
        return at == REDISMODULE_NO_EXPIRE ? TYPE_NO_EXPIRY : at;
    }
    mstime_t left = RedisModule_GetExpire(key);
    return left == REDISMODULE_NO_EXPIRE ? TYPE_NO_EXPIRY : RedisModule_Milliseconds() + left;
}

void type_expire_at(RedisModuleKey *key, long long expire_at) {
    if (expire_at == TYPE_NO_EXPIRY) return;
    if (RedisModule_SetAbsExpire) {
        RedisModule_SetAbsExpire(key, expire_at);
        return;
    }
    /* Before Redis 6.2.8 and 7.0.5 the server takes a time from now, and adds its own clock to it:
     * once more if the clock went on in between. Never below 0: -1 would mean "no expiry". */
    long long now;
    do {
        now = RedisModule_Milliseconds();
        RedisModule_SetExpire(key, expire_at > now ? expire_at - now : 0);
    } while (RedisModule_Milliseconds() != now);
}

void type_remove(RedisModuleKey *key) {
    if (RedisModule_UnlinkKey)
        RedisModule_UnlinkKey(key);
    else
        RedisModule_DeleteKey(key);
}

/* Adds a chunk to the session, which may move; the first, where announced is given. */
static bool unpack_chunk(struct session **session, struct bytes chunk, uint32_t *announced) {
    const uint8_t *bytes = (const uint8_t *)chunk.at;
    return announced ? chunk_unpack_first(session, bytes, chunk.len, announced)
                     : chunk_unpack(*session, bytes, chunk.len);
}

bool type_load(RedisModuleKey *key, RedisModuleString **chunks, int chunks_len) {
    struct session *session = session_create();
    uint32_t announced;
    bool good = unpack_chunk(&session, server_bytes(chunks[0]), &announced);
    for (int i = 1; i < chunks_len && good; i++)
        good = unpack_chunk(&session, server_bytes(chunks[i]), NULL);
    if (good && session_payloads(session) == announced) {
        RedisModule_ModuleTypeSetValue(key, session_type, count_made(session));
        return true;
    }
    session_free(session);
    return false;
}

/* Reads a chunk into the session. */
static bool load_chunk(RedisModuleIO *rdb, struct session **session, uint32_t *announced) {
    size_t len;
    char *chunk = RedisModule_LoadStringBuffer(rdb, &len);
    bool good = chunk && unpack_chunk(session, (struct bytes){chunk, len}, announced);
    RedisModule_Free(chunk);
    return good;
}

/* Reads a session. False at the first thing that rdb_save could not have written, or when the file
 * ends early. */
static bool load_chunks(RedisModuleIO *rdb, struct session **session) {
    uint32_t announced;
    if (!load_chunk(rdb, session, &announced)) return false;
    while (session_payloads(*session) < announced)
        if (!load_chunk(rdb, session, NULL)) return false;
    return session_payloads(*session) == announced;
}

static void *rdb_load(RedisModuleIO *rdb, int format) {
    if (!server_reads_format(rdb, "a session", format, RDB_FORMAT)) return NULL;
    struct session *session = session_create();
    if (load_chunks(rdb, &session)) return count_made(session);
    RedisModule_LogIOError(rdb, "warning", "a stored session is damaged or cut short");
    session_free(session);
    return NULL;
}

/* Nearly all sessions are packed, and need no block of their own to be written from. */
static void rdb_save(RedisModuleIO *rdb, void *value) {
    bool is_packed = session_is_packed(value);
    uint8_t small[CHUNK_PACKED_MAX], *buffer = is_packed ? small : NULL;
    size_t capacity = is_packed ? sizeof small : 0;
    struct session_cursor cursor = {0};
    size_t len = chunk_pack_first(value, &cursor, &buffer, &capacity);
    while (len > 0) {
        RedisModule_SaveStringBuffer(rdb, (const char *)buffer, len);
        len = chunk_pack(value, &cursor, &buffer, &capacity);
    }
    if (buffer != small) memory.free(buffer);
}

static void aof_rewrite(RedisModuleIO *aof, RedisModuleString *key, void *value) {
    effects_rewrite(aof, key, value);
}

/* Freeing one payload is one step, so that the server frees a large session in the background. */
static size_t free_effort(RedisModuleString *key, const void *value) {
    (void)key;
    return 1 + session_payloads(value);
}

static size_t mem_usage(const void *value) {
    return session_memory(value);
}

/* Each payload is a sequence of its own, so that their order does not matter. */
static void digest_value(RedisModuleDigest *digest, void *value) {
    const struct session *session = value;
    const struct session_times *times = &session->times;
    RedisModule_DigestAddLongLong(digest, times->created_ms);
    RedisModule_DigestAddLongLong(digest, times->deadline_ms);
    RedisModule_DigestAddLongLong(digest, times->ttl);
    if (session->owner_len > 0)
        RedisModule_DigestAddStringBuffer(digest, session->owner, session->owner_len);
    RedisModule_DigestEndSequence(digest);
    struct session_cursor cursor = {0};
    struct payload payload;
    while (session_next(session, &cursor, &payload)) {
        RedisModule_DigestAddStringBuffer(digest, (const char *)payload.name, payload.name_len);
        RedisModule_DigestAddStringBuffer(digest, (const char *)payload.data, payload.data_len);
        if (payload.ends_at) RedisModule_DigestAddLongLong(digest, payload.ends_at);
        RedisModule_DigestEndSequence(digest);
    }
}

static void *copy_value(RedisModuleString *from, RedisModuleString *to, const void *value) {
    (void)from;
    (void)to;
    return count_made(session_copy(value));
}

static void *defrag_move(void *context, void *block) {
    return RedisModule_DefragAlloc(context, block);
}

/* The cursor counts buckets; the server sets it aside between the steps of one large session.
 * Between two steps the session may change, and a payload may stay where it is: that costs nothing
 * but its place. */
static int defrag_value(RedisModuleDefragCtx *ctx, RedisModuleString *key, void **value) {
    (void)key;
    unsigned long bucket = 0;
    bool resumed = RedisModule_DefragCursorGet(ctx, &bucket) == REDISMODULE_OK && bucket > 0;
    if (!resumed) *value = session_move_self(*value, defrag_move, ctx);
    struct session *session = *value;
    while (bucket < session_buckets(session)) {
        session_move_bucket(session, (uint32_t)bucket++, defrag_move, ctx);
        if (bucket % 64 == 0 && RedisModule_DefragShouldStop(ctx) &&
            RedisModule_DefragCursorSet(ctx, bucket) == REDISMODULE_OK)
            return 1;
    }
    return 0;
}

bool type_register(RedisModuleCtx *ctx) {
    RedisModuleTypeMethods methods = {METHODS_OF_ALL, .free_effort = free_effort};
    session_type = RedisModule_CreateDataType(ctx, TYPE_NAME, RDB_FORMAT, &methods);
    return session_type != NULL;
}
