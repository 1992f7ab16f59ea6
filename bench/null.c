/*
 * null.c - a module whose commands have the shape of SessionGate's and do the least that such a
 * command can do. What SessionGate's take beyond that is its own; the rest is what a server asks
 * of any module.
 *
 *     NULL.NOTHING <sign_key> <key> <name>           replies OK
 *     NULL.START   <sign_key> <ttl>                  makes a key of a random name, 84 bytes long
 *     NULL.GET     <sign_key> <key> <name>           replies with the key's bytes
 *     NULL.SET     <sign_key> <key> <name> <data>    stores them
 *     NULL.EXPIRE  <sign_key> <key> <ttl>
 *     NULL.END     <sign_key> <key>
 *
 * Keys are declared, opened, signalled, notified of and replicated as SessionGate's are; the effect
 * has a name of four letters and the shortest form. There are no signatures, no payloads of other
 * names and no checks but that a key is one of ours, and nothing can be saved or loaded: it is to
 * be measured, on a server that keeps no files.
 */
#include <redismodule.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define NAME_LEN 84
#define EFFECT "NOOP"
#define NO_IMPLICIT_SIGNAL_MODIFIED (1 << 1)
#define FOR_WRITING (REDISMODULE_READ | REDISMODULE_WRITE)
#define SECRET " no-monitor no-slowlog"

struct value {
    char *bytes;
    size_t len;
};

static RedisModuleType *null_type;

static void free_value(void *pointer) {
    struct value *value = pointer;
    RedisModule_Free(value->bytes);
    RedisModule_Free(value);
}

/* The value of a key; NULL where it is none of ours. */
static struct value *value_of(RedisModuleKey *key) {
    if (RedisModule_ModuleTypeGetType(key) != null_type) return NULL;
    return RedisModule_ModuleTypeGetValue(key);
}

static int refuse_key(RedisModuleCtx *ctx, RedisModuleKey *key) {
    RedisModule_CloseKey(key);
    return RedisModule_ReplyWithError(ctx, "ERR there is no such key of this module");
}

/* Closes a key that was changed, and tells those who wait for that. */
static void close_changed(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString *name,
                          const char *event) {
    RedisModule_CloseKey(key);
    RedisModule_SignalModifiedKey(ctx, name);
    RedisModule_NotifyKeyspaceEvent(ctx, REDISMODULE_NOTIFY_MODULE, event, name);
}

static int null_nothing(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    if (argc != 4) return RedisModule_WrongArity(ctx);
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

static int null_get(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4) return RedisModule_WrongArity(ctx);
    RedisModuleKey *key = RedisModule_OpenKey(ctx, argv[2], REDISMODULE_READ);
    struct value *value = value_of(key);
    if (!value) return refuse_key(ctx, key);
    RedisModule_ReplyWithStringBuffer(ctx, value->bytes, value->len);
    RedisModule_CloseKey(key);
    return REDISMODULE_OK;
}

static int null_set(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 5) return RedisModule_WrongArity(ctx);
    RedisModuleKey *key = RedisModule_OpenKey(ctx, argv[2], FOR_WRITING);
    struct value *value = value_of(key);
    if (!value) return refuse_key(ctx, key);
    size_t len;
    const char *bytes = RedisModule_StringPtrLen(argv[4], &len);
    if (len != value->len) {
        value->bytes = RedisModule_Realloc(value->bytes, len);
        value->len = len;
    }
    memcpy(value->bytes, bytes, len);
    RedisModule_Replicate(ctx, EFFECT, "sss", argv[2], argv[3], argv[4]);
    close_changed(ctx, key, argv[2], "null.set");
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

/* Sets when a key expires, as the effect then says it: eight bytes of this machine's. */
static int set_ttl(RedisModuleKey *key, RedisModuleString *ttl, long long *expire_at) {
    long long seconds;
    if (RedisModule_StringToLongLong(ttl, &seconds) != REDISMODULE_OK) return REDISMODULE_ERR;
    *expire_at = RedisModule_Milliseconds() + seconds * 1000;
    return RedisModule_SetAbsExpire(key, *expire_at);
}

static int null_expire(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 4) return RedisModule_WrongArity(ctx);
    RedisModuleKey *key = RedisModule_OpenKey(ctx, argv[2], FOR_WRITING);
    long long expire_at;
    if (!value_of(key) || set_ttl(key, argv[3], &expire_at) != REDISMODULE_OK)
        return refuse_key(ctx, key);
    RedisModule_Replicate(ctx, EFFECT, "sbs", argv[2], &expire_at, sizeof expire_at, argv[3]);
    close_changed(ctx, key, argv[2], "null.expire");
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

static int null_end(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 3) return RedisModule_WrongArity(ctx);
    RedisModuleKey *key = RedisModule_OpenKey(ctx, argv[2], FOR_WRITING);
    if (!value_of(key)) return refuse_key(ctx, key);
    RedisModule_UnlinkKey(key);
    RedisModule_Replicate(ctx, EFFECT, "s", argv[2]);
    close_changed(ctx, key, argv[2], "null.end");
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

/* Sixteen random characters in front of a rest that is always the same: a signature's place. */
static void draw_name(char name[NAME_LEN]) {
    static uint64_t state;
    uint64_t random = (state += 0x9e3779b97f4a7c15U);
    random = (random ^ (random >> 30)) * 0xbf58476d1ce4e5b9U;
    random = (random ^ (random >> 27)) * 0x94d049bb133111ebU;
    memset(name, 'x', NAME_LEN);
    for (int i = 0; i < 16; i++, random >>= 4) name[i] = "0123456789abcdef"[random & 15];
}

static int null_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc != 3) return RedisModule_WrongArity(ctx);
    char bytes[NAME_LEN];
    draw_name(bytes);
    RedisModuleString *name = RedisModule_CreateString(ctx, bytes, sizeof bytes);
    RedisModuleKey *key = RedisModule_OpenKey(ctx, name, FOR_WRITING);
    struct value *value = RedisModule_Calloc(1, sizeof *value);
    RedisModule_ModuleTypeSetValue(key, null_type, value);
    long long expire_at = 0;
    set_ttl(key, argv[2], &expire_at);
    RedisModule_Replicate(ctx, EFFECT, "sbs", name, &expire_at, sizeof expire_at, argv[2]);
    close_changed(ctx, key, name, "null.start");
    RedisModule_FreeString(ctx, name);
    return RedisModule_ReplyWithStringBuffer(ctx, bytes, sizeof bytes);
}

/* What every effect is: a replica has nothing of it. */
static int no_operation(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    (void)argv;
    (void)argc;
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

static const struct command {
    const char *name;
    RedisModuleCmdFunc handler;
    const char *flags;
    int key;
} commands[] = {
    {"NULL.NOTHING", null_nothing, "readonly fast" SECRET, 2},
    {"NULL.START", null_start, "write deny-oom fast" SECRET, 0},
    {"NULL.GET", null_get, "readonly fast" SECRET, 2},
    {"NULL.SET", null_set, "write deny-oom fast" SECRET, 2},
    {"NULL.EXPIRE", null_expire, "write fast" SECRET, 2},
    {"NULL.END", null_end, "write fast" SECRET, 2},
    {EFFECT, no_operation, "write fast" SECRET, 1},
};

__attribute__((visibility("default"))) int RedisModule_OnLoad(RedisModuleCtx *ctx,
                                                              RedisModuleString **argv, int argc) {
    (void)argv;
    (void)argc;
    if (RedisModule_Init(ctx, "null", 1, REDISMODULE_APIVER_1) != REDISMODULE_OK ||
        !RedisModule_SetAbsExpire || !RedisModule_SignalModifiedKey)
        return REDISMODULE_ERR;
    RedisModule_SetModuleOptions(ctx, NO_IMPLICIT_SIGNAL_MODIFIED);
    RedisModuleTypeMethods methods = {.version = REDISMODULE_TYPE_METHOD_VERSION,
                                      .free = free_value};
    null_type = RedisModule_CreateDataType(ctx, "benchnull", 0, &methods);
    if (!null_type) return REDISMODULE_ERR;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        const struct command *command = &commands[i];
        if (RedisModule_CreateCommand(ctx, command->name, command->handler, command->flags,
                                      command->key, command->key,
                                      command->key != 0) != REDISMODULE_OK)
            return REDISMODULE_ERR;
    }
    return REDISMODULE_OK;
}
