-- REWRITE: take members out of a cell.
--
-- Keys
--   KEYS[1]   {NAME}:live        string   number of the live generation
--   KEYS[2]   {NAME}:gG:log      list     the latest events, oldest first
--   KEYS[3]   {NAME}:gG:trimmed  string   how many events have left the log at its head
--   KEYS[4]   {NAME}:gG:cell:C   list     member records of the cell
-- Arguments
--   ARGV[1]   generation that the client works on
--   ARGV[2]   a byte for each member of the cell, in order: 'K' to keep it, 'X' to take it out
--   ARGV[3]   the event
--   ARGV[4]   events that the client has seen
-- Returns 1 when it was done, 0 when the cell may not be what the client took it for: of another length, or of the
-- same one after removals that the client has not seen.
local marks = ARGV[2]
if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('LLEN', KEYS[4]) ~= #marks then
  return 0
end
local since = tonumber(ARGV[4]) - tonumber(redis.call('GET', KEYS[3]) or '0')
if since < 0 or since > redis.call('LLEN', KEYS[2]) then
  return 0
end
for _, event in ipairs(redis.call('LRANGE', KEYS[2], since, -1)) do
  if string.sub(event, 1, 1) ~= 'A' then
    return 0
  end
end
local records = redis.call('LRANGE', KEYS[4], 0, -1)
redis.call('DEL', KEYS[4])
for i, record in ipairs(records) do
  if string.sub(marks, i, i) == 'K' then
    redis.call('RPUSH', KEYS[4], record)
  end
end
redis.call('RPUSH', KEYS[2], ARGV[3])
return 1
