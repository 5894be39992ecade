-- REMOVE: take members out of their cells on request, all of them or none, and note that they are to stay away.
--
-- Keys
--   KEYS[1]   {NAME}:live         string   number of the live generation
--   KEYS[2]   {NAME}:gG:log       list     the latest events, oldest first
--   KEYS[3]   {NAME}:removed      hash     what was removed, by its key
--   KEYS[4+]  {NAME}:gG:cell:C    list     member records of each cell that loses some
-- Arguments
--   ARGV[1]   generation that the client works on
--   ARGV[2]   how many members are removed
--   and for each of these: which of the keys is its cell, its key, what is noted of it, its record
--   and for each cell: the event
-- Returns 1 when it was done, by this call or an earlier one whose reply was lost: no two calls note the same. Returns 0
-- when nothing was done: another generation is live, or a member is not where the client has seen it.
local count = tonumber(ARGV[2])
if redis.call('HGET', KEYS[3], ARGV[4]) == ARGV[5] then
  return 1
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
for i = 0, count - 1 do
  if not redis.call('LPOS', KEYS[tonumber(ARGV[4 * i + 3])], ARGV[4 * i + 6]) then
    return 0
  end
end
for i = 0, count - 1 do
  redis.call('LREM', KEYS[tonumber(ARGV[4 * i + 3])], 0, ARGV[4 * i + 6])
  redis.call('HSET', KEYS[3], ARGV[4 * i + 4], ARGV[4 * i + 5])
end
for i = 4 * count + 3, #ARGV do
  redis.call('RPUSH', KEYS[2], ARGV[i])
end
return 1
