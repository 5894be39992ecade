-- EVENTS: what happened in a generation since a client looked.
--
-- Keys
--   KEYS[1]   {NAME}:live          string   number of the live generation
--   KEYS[2]   {NAME}:gG:log        list     the latest events, oldest first
--   KEYS[3]   {NAME}:gG:trimmed    string   how many events have left the log at its head
-- Arguments
--   ARGV[1]   generation that the client works on
--   ARGV[2]   events that the client has seen; -1 to ask only how many there are, and for the last of them
--   ARGV[3]   how the last of them begins; '' when it has seen none
-- Returns
--   {'GENERATION'}            another generation is live
--   {'BEHIND', count, last}   the log does not reach back to what the client has seen, or tells another story (Redis
--                             lost its last writes), or only this was asked for
--   {'EVENTS', count, events} how many events there are in all, and those not seen
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return {'GENERATION'}
end
local first = tonumber(redis.call('GET', KEYS[3]) or '0')
local count = first + redis.call('LLEN', KEYS[2])
local seen = tonumber(ARGV[2])
if seen < first or seen > count then
  return {'BEHIND', count, redis.call('LINDEX', KEYS[2], -1)}
end
if seen > first and ARGV[3] ~= '' and string.sub(redis.call('LINDEX', KEYS[2], seen - first - 1), 1, #ARGV[3]) ~= ARGV[3] then
  return {'BEHIND', count, redis.call('LINDEX', KEYS[2], -1)}
end
return {'EVENTS', count, redis.call('LRANGE', KEYS[2], seen - first, -1)}
