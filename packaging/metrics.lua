-- metrics.lua: the counters of INFO sessiongate, for prometheus-redis-exporter.
--
--     prometheus-redis-exporter -script /usr/share/redis-sessiongate/metrics.lua
--
-- The exporter runs this on the server by EVAL, each time that Prometheus asks it, and exports each pair of
-- what it returns, {name, number, name, number, ...}, as redis_script_values{key="<name>"}. On a server
-- without the module it returns nothing.
--
-- A user for the exporter that can read no key, no password and no arguments of slow commands, among which
-- may be tokens (from Redis 7.0 on, and on Valkey):
--
--     ACL SETUSER exporter on '>a password' resetkeys -@all +info +eval \
--         +client|setname +latency|latest +slowlog|len
--
-- The exporter asks for SLOWLOG GET all the same: it does without two metrics of the last slow command, and
-- ACL LOG has an entry of it.
--
--     prometheus-redis-exporter -redis.user exporter -redis.password 'a password' -config-command - \
--         -script /usr/share/redis-sessiongate/metrics.lua

local found = {}
for name, number in redis.call('INFO', 'sessiongate'):gmatch('sessiongate_([%w_]+):(%d+)\r\n') do
    table.insert(found, name)
    table.insert(found, number)
end
return found
