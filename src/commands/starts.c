/*
 * starts.c - the commands that make tokens or sessions: START, ADOPT, OSTART, ROTATE.
 */
#include "alias.h"
#include "config.h"
#include "effects.h"
#include "handlers.h"
#include "members.h"
#include "options.h"
#include "owned.h"
#include "secret.h"
#include "slot.h"
#include "slots.h"
#include "stats.h"
#include "token.h"
#include "type.h"

/* In a cluster a token must fall into a slot of this node; one that does not is drawn again, with m
 * masters about m times. The bound is for nodes with next to no slots: 4096 draws find one of 16
 * slots with a chance of 98 %, and one that serves fewer may answer an error. */
#define MINT_TRIES 65536
#define MINT_MS 50
#define MINT_TRIES_AT_LEAST 4096 /* however slow the machine: enough for a node of some slots */

static uint16_t random_slot(void) {
    unsigned bits = secret_random_byte() | (unsigned)secret_random_byte() << 8;
    return (uint16_t)(bits % SLOT_COUNT); /* a power of two: none is favoured */
}

static const struct secret_signer *signer_of(struct bytes sign_key) {
    return secret_signer(sign_key.at, sign_key.len);
}

/* Draws the token anew until this node can store a session under it. False: call->error says why
 * not. */
static bool find_slot(struct call *call, enum token_format format, char token[TOKEN_MAX_LEN]) {
    if (!slots_exist()) return true;
    /* Since Redis 7.4 and Valkey 8.0 a server stores what a command without keys opens inside MULTI
     * in the slot of the transaction's other keys, where nobody would find it. */
    if (RedisModule_GetContextFlags(call->ctx) & REDISMODULE_CTX_FLAGS_MULTI)
        return call_error(call, ERROR_MULTI);
    const struct secret_signer *signer = signer_of(call->sign_key);
    long long give_up_at = RedisModule_Milliseconds() + MINT_MS;
    for (int tries = 1; tries <= MINT_TRIES; tries++) {
        call->error = slots_serve_new(call->ctx, token, token_len(format));
        if (call->error != ERROR_NO_SLOT) break;
        if (tries % 64 == 0 && tries >= MINT_TRIES_AT_LEAST &&
            RedisModule_Milliseconds() >= give_up_at)
            break;
        if (format == TOKEN_V2)
            token_steer(token, random_slot());
        else
            token_mint(token, format, signer);
    }
    return call->error == ERROR_NONE;
}

/* Makes a new session in a key opened for writing that holds nothing. Returns when it expires. */
static long long make_session(RedisModuleKey *key, struct bytes owner, long long ttl,
                              const struct options *options) {
    long long now = RedisModule_Milliseconds();
    long long deadline = options->max_ttl ? now + options->max_ttl * 1000 : 0;
    long long expire_at = lifetime_until(now, ttl, deadline);
    struct session_times times = {now, deadline, (uint32_t)ttl};
    struct session *session = type_create(key, times, owner);
    for (int i = 0; i < options->payloads_len; i += 2)
        type_put(session, options->payloads[i], options->payloads[i + 1], 0);
    type_expire_at(key, expire_at);
    stats.payload_writes += (unsigned long long)options->payloads_len / 2;
    return expire_at;
}

static struct strings payloads_of(const struct options *options) {
    return (struct strings){options->payloads, (size_t)options->payloads_len};
}

/* The same for a session that is nobody's, with its effect. Its ttl comes as the argument and as
 * the number. */
static void store_session(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleKey *key,
                          RedisModuleString *ttl_arg, long long ttl,
                          const struct options *options) {
    long long expire_at = make_session(key, TYPE_NOBODY, ttl, options);
    effects_start(ctx, token, expire_at, ttl_arg, &type_session(key)->times, payloads_of(options));
}

/* Opens the key of a token that was just made. It is free, unless somebody stored something under a
 * name that nobody could have known: then the call is refused, and what is there stays. */
static RedisModuleKey *open_new(struct call *call, RedisModuleString *token) {
    RedisModuleKey *key =
        RedisModule_OpenKey(call->ctx, token, REDISMODULE_READ | REDISMODULE_WRITE);
    if (RedisModule_KeyType(key) == REDISMODULE_KEYTYPE_EMPTY) return key;
    RedisModule_CloseKey(key);
    call_error(call, ERROR_BUSY_TOKEN);
    return NULL;
}

/* Stores a session under a token that was minted for it. */
static bool start_session(struct call *call, struct bytes token, RedisModuleString *ttl_arg,
                          long long ttl, const struct options *options) {
    RedisModuleString *name = RedisModule_CreateString(call->ctx, token.at, token.len);
    RedisModuleKey *key = open_new(call, name);
    if (key) {
        store_session(call->ctx, name, key, ttl_arg, ttl, options);
        RedisModule_CloseKey(key);
        call_key_changed(call->ctx, name, "sessiongate.start");
        stats.sessions_started++;
    }
    RedisModule_FreeString(call->ctx, name);
    return key;
}

/* A ttl of 0 is over already: there is nothing to store, and any node can answer that. */
int cmd_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 3 || argc == 4) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    long long ttl;
    if (!call_begin(&call, ctx, argv) || !call_check_ttl(&call, argv[2], &ttl) ||
        !options_check(&call, argv + 3, argc - 3, OPTION_MAXTTL | OPTION_FORMAT | OPTION_PAYLOADS,
                       &options) ||
        !call_check_room(&call, options.payloads, options.payloads_len))
        return call_refuse(&call);
    bool is_given = options.given & OPTION_FORMAT;
    enum token_format format = is_given ? options.format : (enum token_format)config.token_format;
    char token[TOKEN_MAX_LEN];
    size_t len = token_len(format);
    token_mint(token, format, signer_of(call.sign_key));
    if (ttl > 0 && (!find_slot(&call, format, token) ||
                    !start_session(&call, (struct bytes){token, len}, argv[2], ttl, &options)))
        return call_refuse(&call);
    RedisModule_ReplyWithStringBuffer(ctx, token, len);
    return call_end(&call);
}

/* Whether the owner may have one more, with those that LIMIT ends. */
static bool check_owner_room(struct call *call, const struct members *members, size_t ended) {
    call->limit = config.max_owner_sessions;
    size_t living = members->mine_len + members->others - ended;
    return living < (size_t)call->limit || call_error(call, ERROR_OWNER_FULL);
}

/* How many of the owner's sessions have to end for one more. */
static size_t over_limit(const struct members *members, const struct options *options) {
    size_t limit = (size_t)options->limit;
    return limit && members->mine_len >= limit ? members->mine_len + 1 - limit : 0;
}

/* Puts a session that was made into the list, in place of the leavers, and sends the effect. */
static void join_owner(struct call *call, RedisModuleString *label, RedisModuleKey *list,
                       RedisModuleString *token, RedisModuleKey *key, RedisModuleString *ttl_arg,
                       const struct leavers *leavers, const struct options *options) {
    struct owner *owner = owner_of(list);
    if (!owner) owner = owner_create(list);
    leavers_end(call->ctx, server_bytes(label), owner, leavers);
    tokenlist_add(&owner->tokens, server_bytes(token).at);
    const struct session_times *times = &type_session(key)->times;
    long long expire_at = type_expires_at(key), life = type_expires_at(list);
    if (life == TYPE_NO_EXPIRY || leavers->ended.len > 0)
        life = owned_settle(call->ctx, label, list);
    else if (expire_at > life)
        type_expire_at(list, life = owned_reach(times, expire_at));
    effects_ostart(call->ctx, token, (struct effects_list){label, life}, expire_at, ttl_arg, times,
                   leavers->ended, leavers->dead, payloads_of(options));
}

/* Makes the session under its token, which nobody else has, and ends those that it pushes out. It
 * closes the list if it answers true: listeners may be modules that delete it. */
static bool start_owned(struct call *call, RedisModuleString *label, RedisModuleKey *list,
                        struct bytes token, RedisModuleString *ttl_arg, long long ttl,
                        const struct members *members, const struct options *options) {
    size_t ended = over_limit(members, options);
    if (!check_owner_room(call, members, ended)) return false;
    RedisModuleString *name = RedisModule_CreateString(call->ctx, token.at, token.len);
    RedisModuleKey *key = open_new(call, name);
    if (key) {
        struct leavers leavers = leavers_of(members, ended, NULL);
        make_session(key, server_bytes(label), ttl, options);
        join_owner(call, label, list, name, key, ttl_arg, &leavers, options);
        RedisModule_CloseKey(key);
        RedisModule_CloseKey(list);
        call_key_changed(call->ctx, name, "sessiongate.ostart");
        if (server_signals_explicitly()) RedisModule_SignalModifiedKey(call->ctx, label);
        leavers_tell(call->ctx, &leavers);
        leavers_free(&leavers);
        stats.sessions_started++;
    }
    RedisModule_FreeString(call->ctx, name);
    return key;
}

/* The list is looked through where somebody may have to go: for LIMIT, for the bound of all, and
 * now and then for tokens that are dead; and where it lost its life by hand, which is found anew.
 */
static bool must_look(RedisModuleKey *list, const struct owner *owner,
                      const struct options *options) {
    return options->limit > 0 || type_expires_at(list) == TYPE_NO_EXPIRY ||
           owner->tokens.len >= owner->prune_at ||
           owner->tokens.len >= (size_t)config.max_owner_sessions;
}

/* Starts a session of the owner whose list is in an opened key, which it closes if it started one.
 */
static bool start_in_list(struct call *call, RedisModuleString *label, RedisModuleKey *list,
                          struct bytes token, RedisModuleString *ttl_arg, long long ttl,
                          const struct options *options) {
    struct owner *owner = owner_of(list);
    if (!owner && RedisModule_KeyType(list) != REDISMODULE_KEYTYPE_EMPTY)
        return call_error(call, ERROR_WRONG_TYPE);
    if (ttl == 0) return true; /* over already */
    enum error error = slots_exist() ? slots_serve(call->ctx, token.at, token.len) : ERROR_NONE;
    if (error != ERROR_NONE)
        return call_error(call, error == ERROR_NO_SLOT ? ERROR_TRY_AGAIN : error);
    struct members members = {0};
    bool looks = owner && must_look(list, owner, options);
    bool good = !looks || members_find(call, label, &owner->tokens, true, &members);
    if (good && looks) owner->prune_at = owner_prune_at(members.mine_len + members.others);
    good = good && start_owned(call, label, list, token, ttl_arg, ttl, &members, options);
    members_free(call->ctx, &members);
    return good;
}

int cmd_ostart(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 4 || argc == 5) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    struct bytes label;
    long long ttl;
    if (!call_begin(&call, ctx, argv) || !call_check_owner(&call, argv[2], &label) ||
        !call_check_ttl(&call, argv[3], &ttl) ||
        !options_check(&call, argv + 4, argc - 4, OPTION_MAXTTL | OPTION_LIMIT | OPTION_PAYLOADS,
                       &options) ||
        !call_check_room(&call, options.payloads, options.payloads_len))
        return call_refuse(&call);
    char token[TOKEN_MAX_LEN];
    token_mint(token, TOKEN_V2, signer_of(call.sign_key));
    token_steer(token, slot_of_tagged(label.at, label.len));
    RedisModuleKey *list = RedisModule_OpenKey(ctx, argv[2], REDISMODULE_READ | REDISMODULE_WRITE);
    bool good = start_in_list(&call, argv[2], list, (struct bytes){token, TOKEN_V2_LEN}, argv[3],
                              ttl, &options);
    if (!good || ttl == 0) RedisModule_CloseKey(list);
    if (!good) return call_refuse(&call);
    RedisModule_ReplyWithStringBuffer(ctx, token, TOKEN_V2_LEN);
    return call_end(&call);
}

/* Whether the name of the call's token is free for a new session. */
static bool check_free(struct call *call) {
    bool is_alias = call_aliases(call).len > 0 || alias_of(call->key);
    if (call->session || is_alias) return call_error(call, ERROR_BUSY_TOKEN);
    return call->missing == ERROR_NO_SESSION || call_error(call, call->missing);
}

int cmd_adopt(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 4 || argc == 5) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    long long ttl;
    if (!call_open(&call, ctx, argv, call_write_mode()) || !call_check_ttl(&call, argv[3], &ttl) ||
        !options_check(&call, argv + 4, argc - 4, OPTION_MAXTTL | OPTION_PAYLOADS, &options) ||
        !check_free(&call) || !call_check_room(&call, options.payloads, options.payloads_len))
        return call_refuse(&call);
    if (ttl > 0) {
        if (!call_change(&call)) return call_refuse(&call);
        store_session(ctx, call_token(&call), call.key, argv[3], ttl, &options);
        call_changed(&call, "sessiongate.adopt");
        stats.sessions_adopted++;
    }
    return call_ok(&call);
}

/* Makes the token of a successor. A command may not open a key of another slot than its declared
 * one: the successor is steered into the slot of the token, without a cluster as well where it can
 * be (v2), so that a rotated token still leads there when the data move into one. */
static bool mint_successor(struct call *call, struct bytes sign_key, char token[TOKEN_MAX_LEN],
                           size_t *len) {
    struct bytes old = server_bytes(call_token(call));
    enum token_format format = slots_exist() ? TOKEN_V2 : token_format(old.len);
    *len = token_len(format);
    token_mint(token, format, signer_of(sign_key));
    if (format == TOKEN_V2) token_steer(token, slot_of(old.at, old.len));
    if (!slots_exist()) return true;
    /* A slot that is moving away takes no new keys: they would be left behind. */
    enum error error = slots_serve(call->ctx, token, *len);
    if (error == ERROR_NONE) return true;
    return call_error(call, error == ERROR_NO_SLOT ? ERROR_TRY_AGAIN : error);
}

/* Sets the times of the session that is about to move, and returns when it expires. */
static long long renew_times(struct call *call, long long now, const struct options *options) {
    struct session_times *times = &call->session->times;
    long long expire_at = type_expires_at(call->key);
    if (options->ttl) times->ttl = (uint32_t)options->ttl;
    if (options->max_ttl) times->deadline_ms = now + options->max_ttl * 1000;
    if (options->ttl) expire_at = now + options->ttl * 1000;
    return lifetime_cut(expire_at, times->deadline_ms);
}

/* Leaves an alias of the successor in the key that the session has moved from, or nothing; returns
 * when the alias expires, 0 for nothing. */
static long long leave_alias(struct call *call, RedisModuleString *successor, long long expire_at) {
    if (expire_at && alias_create(call->key, server_bytes(successor))) {
        type_expire_at(call->key, expire_at);
        return expire_at;
    }
    type_remove(call->key);
    return 0;
}

/* Moves the session of the call to the successor. Its old name becomes an alias for the grace;
 * without one it is dead, and so is every alias that the call came through. */
static void move_session(struct call *call, struct owned *owned, RedisModuleString *successor,
                         RedisModuleKey *to, const struct options *options) {
    long long now = RedisModule_Milliseconds();
    long long expire_at = renew_times(call, now, options);
    call_sweep(call, 0);
    type_move(call->key, to);
    const struct session_times *times = &type_session(to)->times;
    type_expire_at(to, expire_at);
    long long alias_expire_at =
        leave_alias(call, successor, options->grace > 0 ? now + options->grace * 1000 : 0);
    call_remove_aliases(call);
    owned_moved(owned, call_token(call), successor, times, expire_at);
    struct effects_change change = call_effect(call);
    effects_rotate(call->ctx, &change, successor, expire_at, times, alias_expire_at, owned->change);
}

/* Rotates the session of a call that was checked. */
static bool rotate_session(struct call *call, struct bytes token, const struct options *options) {
    struct owned owned;
    if (!owned_open(&owned, call)) return false;
    RedisModuleString *successor = RedisModule_CreateString(call->ctx, token.at, token.len);
    RedisModuleKey *to = call_change(call) ? open_new(call, successor) : NULL;
    if (to) {
        move_session(call, &owned, successor, to, options);
        RedisModule_CloseKey(to);
        call_changed(call, "sessiongate.rotate");
        call_key_changed(call->ctx, successor, "sessiongate.rotate");
        stats.sessions_rotated++;
    }
    owned_close(&owned);
    RedisModule_FreeString(call->ctx, successor);
    return to;
}

/* With a grace, a token that was rotated already leads everybody to the same successor: requests
 * that ran beside each other. Without one that would be wrong: a login must not be given a token
 * that somebody else holds. */
int cmd_rotate(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (argc < 3) return RedisModule_WrongArity(ctx);
    struct call call;
    struct options options;
    char token[TOKEN_MAX_LEN];
    size_t len;
    if (!call_open(&call, ctx, argv, call_write_mode()) ||
        !options_check(&call, argv + 3, argc - 3,
                       OPTION_MAXTTL | OPTION_TTL | OPTION_GRACE | OPTION_NEWKEY, &options) ||
        !call_requires_session(&call))
        return call_refuse(&call);
    if (options.grace > 0 && call_aliases(&call).len > 0) {
        RedisModule_ReplyWithString(ctx, call_token(&call));
        return call_end(&call);
    }
    bool has_new_key = options.given & OPTION_NEWKEY;
    if (!mint_successor(&call, has_new_key ? options.new_key : call.sign_key, token, &len) ||
        !rotate_session(&call, (struct bytes){token, len}, &options))
        return call_refuse(&call);
    RedisModule_ReplyWithStringBuffer(ctx, token, len);
    return call_end(&call);
}
