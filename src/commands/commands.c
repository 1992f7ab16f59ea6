/*
 * commands.c - the one table of commands, and how the server is told of it.
 *
 * COMMAND INFO, DOCS and GETKEYS, ACL categories and key permissions all come from here; the
 * reference, docs/commands.md, is compared with it by a test.
 */
#include "commands.h"

#include <stdio.h>
#include <string.h>

#include "effects.h"
#include "handlers.h"
#include "replay.h"
#include "slots.h"

/* Behind the fields of the header's structure, Redis 7.2 and Valkey read one more, display_text,
 * whatever size of an argument they are told: an array of the header's own would be read past each
 * element, and COMMAND DOCS would name each argument after the next one. */
struct arg {
    RedisModuleCommandArg arg;
    const char *display_text;
};

static const RedisModuleCommandInfoVersion info_version = {
    .version = 1,
    .sizeof_historyentry = sizeof(RedisModuleCommandHistoryEntry),
    .sizeof_keyspec = sizeof(RedisModuleCommandKeySpec),
    .sizeof_arg = sizeof(struct arg),
};

/* The words of the table, from the smallest: ARG is one argument, as its usage names it; ARGS a
 * list of them, OF the list inside a block; then the arguments that several commands have. KEYS
 * says where the keys are and what is done with them, for COMMAND GETKEYS and for ACL; READS to
 * REMOVES are those of public commands, all at argument 2, REPLAYS that of internal ones, from
 * argument 1. */
/* clang-format off */
#define ARG(arg_name, arg_type, ...) \
    {.arg = {.name = (arg_name), .type = REDISMODULE_ARG_TYPE_##arg_type, .key_spec_index = -1, \
             __VA_ARGS__}}
#define OPTIONAL .flags = REDISMODULE_CMD_ARG_OPTIONAL
#define REPEATED .flags = REDISMODULE_CMD_ARG_MULTIPLE
#define ARGS(...) (&((struct arg[]){__VA_ARGS__, {.arg = {0}}})[0].arg)
#define OF(...) .subargs = ARGS(__VA_ARGS__)

#define SIGN_KEY ARG("sign_key", STRING, 0)
#define TOKEN {.arg = {.name = "token", .type = REDISMODULE_ARG_TYPE_KEY, .key_spec_index = 0}}
#define TTL ARG("ttl", INTEGER, 0)
#define NAME ARG("payload_name", STRING, 0)
#define DATA ARG("payload_data", STRING, 0)
#define IFEQ ARG("data", STRING, .token = "IFEQ")
#define PAYLOAD ARG("payload", BLOCK, REPEATED, OF(NAME, DATA))
#define SECONDS_OF(option_name, option) \
    ARG(option_name, INTEGER, .token = (option), OPTIONAL)
#define MAXTTL SECONDS_OF("max_ttl", "MAXTTL")
#define OWNER {.arg = {.name = "owner", .type = REDISMODULE_ARG_TYPE_KEY, .key_spec_index = 0}}
#define PAYLOADS ARG("payloads", BLOCK, .token = "PAYLOADS", OPTIONAL, \
                     OF(ARG("count", INTEGER, 0), PAYLOAD))

#define KEYS(first, count, key_flags) \
    (RedisModuleCommandKeySpec[]){ \
        {.flags = (key_flags), \
         .begin_search_type = REDISMODULE_KSPEC_BS_INDEX, \
         .bs.index.pos = (first), \
         .find_keys_type = REDISMODULE_KSPEC_FK_RANGE, \
         .fk.range = {.lastkey = (count) - 1, .keystep = 1, .limit = 0}}, \
        {0}}
#define READS KEYS(2, 1, REDISMODULE_CMD_KEY_RO | REDISMODULE_CMD_KEY_ACCESS)
#define UPDATES KEYS(2, 1, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_UPDATE)
#define TAKES \
    KEYS(2, 1, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_ACCESS | REDISMODULE_CMD_KEY_DELETE)
#define DELETES KEYS(2, 1, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_DELETE)
#define INSERTS KEYS(2, 1, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_INSERT)
#define REMOVES KEYS(2, 1, REDISMODULE_CMD_KEY_RM | REDISMODULE_CMD_KEY_DELETE)
#define ALL 0 /* as a count: up to the last argument */
#define REPLAYS(count) KEYS(1, count, REDISMODULE_CMD_KEY_RW | REDISMODULE_CMD_KEY_UPDATE)

#define INTERNAL(what, ...) \
    {.summary = "Internal: " what " Clients get an error.", .complexity = "O(1)", \
     .since = "1.0.0", .arity = -1, .key_specs = __VA_ARGS__}

static const struct command {
    const char *name;
    RedisModuleCmdFunc handler;
    const char *flags;
    RedisModuleCommandInfo info;
} commands[] = {
    {"SESSIONGATE.START", cmd_start, "write deny-oom fast", {
        .summary = "Starts a session and returns its token.",
        .complexity = "O(N) for N payloads",
        .since = "1.0.0",
        .arity = -3,
        .args = ARGS(SIGN_KEY, TTL, MAXTTL,
                     ARG("format", ONEOF, .token = "FORMAT", OPTIONAL,
                         OF(ARG("v1", PURE_TOKEN, .token = "v1"),
                            ARG("v2", PURE_TOKEN, .token = "v2"))),
                     PAYLOADS)}},
    {"SESSIONGATE.ADOPT", cmd_adopt, "write deny-oom fast", {
        .summary = "Starts a session under a token that the client made.",
        .complexity = "O(N) for N payloads",
        .since = "1.0.0",
        .arity = -4,
        .key_specs = INSERTS,
        .args = ARGS(SIGN_KEY, TOKEN, TTL, MAXTTL, PAYLOADS)}},
    {"SESSIONGATE.OSTART", cmd_ostart, "write deny-oom fast", {
        .summary = "Starts a session of an owner and returns its token.",
        .complexity = "O(N) for N payloads; with LIMIT, and now and then without, also O(M) for M"
                      " sessions of the owner",
        .since = "1.0.0",
        .arity = -4,
        .key_specs = UPDATES,
        .args = ARGS(SIGN_KEY, OWNER, TTL, MAXTTL,
                     ARG("limit", INTEGER, .token = "LIMIT", OPTIONAL), PAYLOADS)}},
    {"SESSIONGATE.OLIST", cmd_olist, "readonly", {
        .summary = "Returns the tokens of all sessions of an owner.",
        .complexity = "O(M log M) for M sessions of the owner",
        .since = "1.0.0",
        .arity = 3,
        .key_specs = READS,
        .args = ARGS(SIGN_KEY, OWNER)}},
    {"SESSIONGATE.OEND", cmd_oend, "write", {
        .summary = "Ends all sessions of an owner, or all but one.",
        .complexity = "O(M log M) for M sessions of the owner",
        .since = "1.0.0",
        .arity = -3,
        .key_specs = DELETES,
        .args = ARGS(SIGN_KEY, OWNER,
                     ARG("token", STRING, .token = "KEEP", OPTIONAL))}},
    {"SESSIONGATE.ROTATE", cmd_rotate, "write deny-oom fast", {
        .summary = "Gives a session a new token and returns it.",
        .complexity = "O(1); for one of M sessions of an owner up to O(M)",
        .since = "1.0.0",
        .arity = -3,
        .key_specs = UPDATES,
        .args = ARGS(SIGN_KEY, TOKEN, ARG("new_sign_key", STRING, .token = "NEWKEY", OPTIONAL),
                     SECONDS_OF("grace", "GRACE"), SECONDS_OF("ttl", "TTL"), MAXTTL)}},
    {"SESSIONGATE.EXPIRE", cmd_expire, "write fast", {
        .summary = "Sets the remaining life of a session.",
        .complexity = "O(1); for one of M sessions of an owner up to O(M); with a ttl of 0 as"
                      " SESSIONGATE.END",
        .since = "1.0.0",
        .arity = 4,
        .key_specs = UPDATES,
        .args = ARGS(SIGN_KEY, TOKEN, TTL)}},
    {"SESSIONGATE.TOUCH", cmd_touch, "write fast", {
        .summary = "Restores the life of a session, and returns the seconds left.",
        .complexity = "O(1); for one of M sessions of an owner up to O(M)",
        .since = "1.0.0",
        .arity = -3,
        .key_specs = UPDATES,
        .args = ARGS(SIGN_KEY, TOKEN, SECONDS_OF("minage", "MINAGE"))}},
    {"SESSIONGATE.TTL", cmd_ttl, "readonly fast", {
        .summary = "Returns the seconds that a session has left.",
        .complexity = "O(1)",
        .since = "1.0.0",
        .arity = 3,
        .key_specs = READS,
        .args = ARGS(SIGN_KEY, TOKEN)}},
    {"SESSIONGATE.INFO", cmd_info, "readonly fast", {
        .summary = "Returns what is known of a session besides its payloads.",
        .complexity = "O(1); O(N) for N payloads that are over and not removed yet",
        .since = "1.0.0",
        .arity = 3,
        .key_specs = READS,
        .args = ARGS(SIGN_KEY, TOKEN)}},
    {"SESSIONGATE.END", cmd_end, "write fast", {
        .summary = "Ends a session.",
        .complexity = "O(1); for one of M sessions of an owner up to O(M); memory is freed in the"
                      " background, O(N) for N payloads",
        .since = "1.0.0",
        .arity = 3,
        .key_specs = REMOVES,
        .args = ARGS(SIGN_KEY, TOKEN)}},
    {"SESSIONGATE.PSET", cmd_pset, "write deny-oom fast", {
        .summary = "Sets a payload of a session.",
        .complexity = "O(1); with IFEQ O(N) for N bytes of data",
        .since = "1.0.0",
        .arity = -5,
        .key_specs = UPDATES,
        .args = ARGS(SIGN_KEY, TOKEN, NAME, DATA,
                     ARG("condition", ONEOF, OPTIONAL,
                         OF(ARG("nx", PURE_TOKEN, .token = "NX"),
                            ARG("xx", PURE_TOKEN, .token = "XX"), IFEQ)),
                     ARG("life", ONEOF, OPTIONAL,
                         OF(ARG("seconds", INTEGER, .token = "EX"),
                            ARG("milliseconds", INTEGER, .token = "PX"))))}},
    {"SESSIONGATE.PMSET", cmd_pmset, "write deny-oom fast", {
        .summary = "Sets payloads of a session, all or none.",
        .complexity = "O(N) for N payloads",
        .since = "1.0.0",
        .arity = -5,
        .key_specs = UPDATES,
        .args = ARGS(SIGN_KEY, TOKEN, PAYLOAD)}},
    {"SESSIONGATE.PGET", cmd_pget, "readonly fast", {
        .summary = "Returns a payload of a session.",
        .complexity = "O(1)",
        .since = "1.0.0",
        .arity = 4,
        .key_specs = READS,
        .args = ARGS(SIGN_KEY, TOKEN, NAME)}},
    {"SESSIONGATE.PMGET", cmd_pmget, "readonly fast", {
        .summary = "Returns payloads of a session.",
        .complexity = "O(N) for N names",
        .since = "1.0.0",
        .arity = -4,
        .key_specs = READS,
        .args = ARGS(SIGN_KEY, TOKEN, ARG("payload_name", STRING, REPEATED))}},
    {"SESSIONGATE.PGETALL", cmd_pgetall, "readonly", {
        .summary = "Returns all payloads of a session.",
        .complexity = "O(N) for N payloads",
        .since = "1.0.0",
        .arity = 3,
        .key_specs = READS,
        .args = ARGS(SIGN_KEY, TOKEN)}},
    {"SESSIONGATE.PTTL", cmd_pttl, "readonly fast", {
        .summary = "Returns the milliseconds that a payload has left.",
        .complexity = "O(1)",
        .since = "1.0.0",
        .arity = 4,
        .key_specs = READS,
        .args = ARGS(SIGN_KEY, TOKEN, NAME)}},
    {"SESSIONGATE.PDEL", cmd_pdel, "write fast", {
        .summary = "Deletes a payload of a session.",
        .complexity = "O(1); with IFEQ O(N) for N bytes of data",
        .since = "1.0.0",
        .arity = -4,
        .key_specs = DELETES,
        .args = ARGS(SIGN_KEY, TOKEN, NAME, ARG("data", STRING, .token = "IFEQ", OPTIONAL))}},
    {"SESSIONGATE.PPOP", cmd_ppop, "write fast", {
        .summary = "Deletes a payload of a session and returns it.",
        .complexity = "O(1)",
        .since = "1.0.0",
        .arity = 4,
        .key_specs = TAKES,
        .args = ARGS(SIGN_KEY, TOKEN, NAME)}},

    {REPLAY_START, replay_start, "write fast", INTERNAL("replicates START and ADOPT.", REPLAYS(1))},
    {REPLAY_PSET, replay_pset, "write fast", INTERNAL("replicates PSET and PMSET.", REPLAYS(1))},
    {REPLAY_PSETEX, replay_psetex, "write fast",
     INTERNAL("replicates PSET with a life.", REPLAYS(1))},
    {REPLAY_PSETVIA, replay_psetvia, "write fast",
     INTERNAL("replicates PSET and PMSET by a rotated token.", REPLAYS(1))},
    {REPLAY_PDEL, replay_pdel, "write fast", INTERNAL("replicates PDEL and PPOP.", REPLAYS(1))},
    {REPLAY_EXPIRE, replay_expire, "write fast", INTERNAL("replicates EXPIRE.", REPLAYS(1))},
    {REPLAY_TOUCH, replay_touch, "write fast", INTERNAL("replicates TOUCH.", REPLAYS(1))},
    {REPLAY_ROTATE, replay_rotate, "write fast", INTERNAL("replicates ROTATE.", REPLAYS(2))},
    {REPLAY_SWEPT, replay_swept, "write fast",
     INTERNAL("replicates what removes payloads that are over, too.", REPLAYS(1))},
    {REPLAY_END, replay_end, "write fast", INTERNAL("replicates END and EXPIRE 0.", REPLAYS(ALL))},
    {REPLAY_LOAD, replay_load, "write fast",
     INTERNAL("restores a session from an AOF.", REPLAYS(1))},
    {REPLAY_ALIAS, replay_alias, "write fast",
     INTERNAL("restores a rotated token from an AOF.", REPLAYS(1))},
    {REPLAY_OSTART, replay_ostart, "write fast", INTERNAL("replicates OSTART.", REPLAYS(2))},
    {REPLAY_OEXPIRE, replay_oexpire, "write fast",
     INTERNAL("replicates EXPIRE and TOUCH of an owner's session.", REPLAYS(2))},
    {REPLAY_OROTATE, replay_orotate, "write fast",
     INTERNAL("replicates ROTATE of an owner's session.", REPLAYS(3))},
    {REPLAY_OEND, replay_oend, "write fast",
     INTERNAL("replicates OEND, and END of an owner's session.", REPLAYS(1))},
    {REPLAY_OWNER, replay_owner, "write fast",
     INTERNAL("restores an owner from an AOF.", REPLAYS(1))},
    {SLOTS_PROBE, slots_probe, "write fast",
     INTERNAL("asks whether this node serves keys.", REPLAYS(ALL))},
    {SLOTS_PROBE_READ, slots_probe, "readonly fast",
     INTERNAL("asks whether this node serves keys to readers.", REPLAYS(ALL))},
};
/* clang-format on */

/* The category of all commands, where a module can have one of its own (Redis 7.4, Valkey 8.0). */
#define CATEGORY "sessiongate"
static bool has_category;

/* Calls that are newer than the header. */
typedef int (*add_category)(RedisModuleCtx *ctx, const char *category);
typedef int (*set_categories)(RedisModuleCommand *command, const char *categories);

/* Creates the command with the flags that this server knows. */
static bool create_command(RedisModuleCtx *ctx, const struct command *command) {
    /* Before 7.0 a script may replicate as its call, with the sign key among its arguments. */
    bool writes = strncmp(command->flags, "write", 5) == 0;
    const char *scripts = writes && !RedisModule_GetCommand ? " deny-script" : "";
    const char *const secret[] = {" no-monitor no-slowlog", " no-monitor"}; /* no-slowlog: 6.0 */
    const RedisModuleCommandKeySpec *keys = command->info.key_specs;
    int first = keys ? keys->bs.index.pos : 0;
    int last = keys ? keys->fk.range.lastkey : 0;
    if (keys && last >= 0) last += first; /* -1: up to the last argument */
    for (size_t i = 0; i < sizeof secret / sizeof *secret; i++) {
        char flags[128];
        snprintf(flags, sizeof flags, "%s%s%s", command->flags, secret[i], scripts);
        if (RedisModule_CreateCommand(ctx, command->name, command->handler, flags, first, last,
                                      keys ? 1 : 0) == REDISMODULE_OK)
            return true;
    }
    return false;
}

/* Rules such as -@sessiongate hold for the commands that are in the category: one that cannot be
 * put there must not be. */
static bool put_into_categories(RedisModuleCtx *ctx, RedisModuleCommand *created, const char *name,
                                const char *flags) {
    set_categories set = NULL;
    if (RedisModule_GetApi("RedisModule_SetCommandACLCategories", (void *)&set) != REDISMODULE_OK)
        return true;
    char categories[64];
    snprintf(categories, sizeof categories, "%s %s%s", strstr(flags, "write") ? "write" : "read",
             strstr(flags, "fast") ? "fast" : "slow", has_category ? " " CATEGORY : "");
    if (set(created, categories) == REDISMODULE_OK) return true;
    RedisModule_Log(ctx, "warning", "%s could not be put into the ACL categories %s", name,
                    categories);
    return false;
}

/* Tells the server more about a command that was created, where it has ears for it (7.0, 7.2). */
static bool describe_command(RedisModuleCtx *ctx, const struct command *command) {
    if (!RedisModule_GetCommand) return true;
    RedisModuleCommand *created = RedisModule_GetCommand(ctx, command->name);
    RedisModuleCommandInfo info = command->info;
    info.version = &info_version;
    return created && RedisModule_SetCommandInfo(created, &info) == REDISMODULE_OK &&
           put_into_categories(ctx, created, command->name, command->flags);
}

bool commands_register(RedisModuleCtx *ctx) {
    /* Redis 8 keeps the category of a module that failed to load, and then refuses to add it again:
     * one that is there is ours to use. If there is none, a command cannot be put into it. */
    add_category add = NULL;
    has_category = RedisModule_GetApi("RedisModule_AddACLCategory", (void *)&add) == REDISMODULE_OK;
    if (has_category) add(ctx, CATEGORY);
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!create_command(ctx, &commands[i]) || !describe_command(ctx, &commands[i]))
            return false;
    return true;
}
