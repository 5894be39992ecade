-- SPLIT: divide a cell in two, for ever.
--
-- Keys
--   KEYS[1]   {NAME}:live          string   number of the live generation
--   KEYS[2]   {NAME}:gG:log        list     the latest events, oldest first
--   KEYS[3]   {NAME}:gG:trimmed    string   how many events have left the log at its head
--   KEYS[4]   {NAME}:gG:splits     list     every split of the generation, as the event below, in order
--   KEYS[5]   {NAME}:gG:cell:C     list     member records of the cell
--   KEYS[6]   {NAME}:gG:cell:L     list     member records of the one half, not there yet
--   KEYS[7]   {NAME}:gG:cell:R     list     member records of the other half, not there yet
-- Arguments
--   ARGV[1]   generation that the client works on
--   ARGV[2]   splits that the client knows: L and R are numbered by it
--   ARGV[3]   a byte for each member of the cell, in order: 'L' or 'R'
--   ARGV[4]   the event
--   ARGV[5]   events that the client has seen
-- Returns 1 when it was done, 0 when the cell, or the splits, may not be what the client took them for: the cell of
-- another length, or of the same one after removals that the client has not seen.
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('LLEN', KEYS[4]) ~= tonumber(ARGV[2]) then
  return 0
end
local since = tonumber(ARGV[5]) - tonumber(redis.call('GET', KEYS[3]) or '0')
if since < 0 or since > redis.call('LLEN', KEYS[2]) then
  return 0
end
for _, event in ipairs(redis.call('LRANGE', KEYS[2], since, -1)) do
  if string.sub(event, 1, 1) ~= 'A' then
    return 0
  end
end
local sides = ARGV[3]
if redis.call('LLEN', KEYS[5]) ~= #sides then
  return 0
end
for i, record in ipairs(redis.call('LRANGE', KEYS[5], 0, -1)) do
  redis.call('RPUSH', string.sub(sides, i, i) == 'L' and KEYS[6] or KEYS[7], record)
end
redis.call('DEL', KEYS[5])
redis.call('RPUSH', KEYS[4], ARGV[4])
redis.call('RPUSH', KEYS[2], ARGV[4])
return 1
