-- A signed session as a Lua script keeps it, for comparison: a hash with a TTL, named by its token.
-- A server's Lua has no SHA-256, so the signature is HMAC-SHA1 (RFC 2104), built from
-- redis.sha1hex; nor has it good random numbers, so the client sends the id. Each "--- name" begins
-- a script, and "--- common" goes before all others.

--- common
local function hmac(key, message)
    local inner, outer, bytes = {key:byte(1, -1)}, {}, {}
    for i = 1, #key do
        inner[i], outer[i] = bit.bxor(inner[i], 0x36), bit.bxor(inner[i], 0x5c)
    end
    local rest = 64 - #key
    local digest = redis.sha1hex(string.char(unpack(inner)) .. string.rep('\54', rest) .. message)
    for i = 1, 20 do bytes[i] = tonumber(digest:sub(2 * i - 1, 2 * i), 16) end
    return redis.sha1hex(string.char(unpack(outer)) .. string.rep('\92', rest)
        .. string.char(unpack(bytes)))
end
local function verify(key, token)
    local id, signature = token:match('^session:by:a:lua:script:v1%.(%w+)%.(%x+)$')
    if not id or #id ~= 16 then return redis.error_reply('BADTOKEN') end
    if hmac(key, id) ~= signature then return redis.error_reply('BADSIGNATURE') end
    if redis.call('EXISTS', token) == 0 then return redis.error_reply('NOSESSION') end
end

--- start
local token = 'session:by:a:lua:script:v1.' .. ARGV[3] .. '.' .. hmac(ARGV[1], ARGV[3])
redis.call('HSET', token, '', '')
redis.call('EXPIRE', token, ARGV[2])
return token

--- expire
local refused = verify(ARGV[1], KEYS[1])
if refused then return refused end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.status_reply('OK')

--- pset
local refused = verify(ARGV[1], KEYS[1])
if refused then return refused end
redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
return redis.status_reply('OK')

--- pget
local refused = verify(ARGV[1], KEYS[1])
if refused then return refused end
return redis.call('HGET', KEYS[1], ARGV[2]) or redis.error_reply('NOPAYLOAD')

--- request
local refused = verify(ARGV[1], KEYS[1])
if refused then return refused end
if redis.call('TTL', KEYS[1]) <= ARGV[2] - ARGV[3] then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return redis.call('HGETALL', KEYS[1])

--- pdel
local refused = verify(ARGV[1], KEYS[1])
if refused then return refused end
if redis.call('HDEL', KEYS[1], ARGV[2]) == 0 then return redis.error_reply('NOPAYLOAD') end
return redis.status_reply('OK')

--- end
local refused = verify(ARGV[1], KEYS[1])
if refused then return refused end
redis.call('UNLINK', KEYS[1])
return redis.status_reply('OK')
