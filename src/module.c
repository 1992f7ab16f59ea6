/*
 * module.c - SessionGate as the server loads it.
 *
 * Above the core, which knows of no server, stand three floors, each a folder: server, keys,
 * commands (CONTRIBUTING.md says what is where). Each can include what lies below it and nothing
 * above; the compiler sees to it, by an include path of its own for each.
 */
#include "alias.h"
#include "clock.h"
#include "commands.h"
#include "config.h"
#include "memory.h"
#include "owner.h"
#include "secret.h"
#include "slots.h"
#include "stats.h"
#include "type.h"
#include "version.h"

#define MODULE_NAME "sessiongate"

/* Options newer than the header, or another server's. */
#define OPTIONS_NO_IMPLICIT_SIGNAL_MODIFIED (1 << 1)
#define OPTIONS_HANDLE_ATOMIC_SLOT_MIGRATION \
    (1 << 5) /* Valkey only: without it, it refuses to migrate */

static void set_options(RedisModuleCtx *ctx) {
    if (!RedisModule_SetModuleOptions) return;
    int options = REDISMODULE_OPTIONS_HANDLE_IO_ERRORS | OPTIONS_NO_IMPLICIT_SIGNAL_MODIFIED |
                  REDISMODULE_OPTIONS_HANDLE_REPL_ASYNC_LOAD;
    if (server_is_valkey()) options |= OPTIONS_HANDLE_ATOMIC_SLOT_MIGRATION;
    RedisModule_SetModuleOptions(ctx, options);
}

static int fail_to_load(RedisModuleCtx *ctx, const char *why) {
    RedisModule_Log(ctx, "warning", "%s", why);
    return REDISMODULE_ERR;
}

__attribute__((visibility("default"))) int RedisModule_OnLoad(RedisModuleCtx *ctx,
                                                              RedisModuleString **argv, int argc) {
    if (RedisModule_Init(ctx, MODULE_NAME, SESSIONGATE_VERSION_NUMBER, REDISMODULE_APIVER_1) !=
        REDISMODULE_OK)
        return fail_to_load(ctx, "a module named " MODULE_NAME " is loaded already");
    if (!RedisModule_GetContextFlags)
        return fail_to_load(ctx, "SessionGate needs Redis 4.0.3 or later");
    if (!secret_start()) return fail_to_load(ctx, "libsodium could not be started");
    memory = (struct memory){RedisModule_Alloc, RedisModule_Realloc, RedisModule_Free};
    set_options(ctx);
    slots_start(ctx);
    clock_load();
    if (!type_register(ctx) || !alias_register(ctx) || !owner_register(ctx))
        return fail_to_load(ctx, "a data type could not be registered");
    if (!commands_register(ctx)) return fail_to_load(ctx, "a command could not be registered");
    if (!config_load(ctx, argv, argc))
        return fail_to_load(ctx, "the module's configuration is wrong");
    stats_load(ctx);
    return REDISMODULE_OK;
}
