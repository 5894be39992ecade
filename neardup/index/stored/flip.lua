-- FLIP: make a complete generation the live one, unless a later one already is, or there is more to carry over. What was
-- live is kept as the previous generation, if it is to be. Begins with the text of KEEP.
--
-- Keys
--   KEYS[1]   {NAME}:live          string   number of the live generation
--   KEYS[2]   {NAME}:gG:meta       string   metadata of the generation that is to be live
--   KEYS[3]   {NAME}:gP:log        list     the latest events of its predecessor, oldest first
--   KEYS[4]   {NAME}:gP:trimmed    string   how many events have left that log
--   KEYS[5]   {NAME}:gG:known      string   which members the generation that is to be live has now
--   and       {NAME}:gG:centroids, and all keys of whatever is live, whose names are known only here
-- Arguments
--   ARGV[1]   generation
--   ARGV[2]   its predecessor; 0 for none, '' for whatever is live
--   ARGV[3]   events of the predecessor that are carried over
--   ARGV[4]   how the last of them begins
--   ARGV[5]   milliseconds to keep what was live as the previous generation; 0 for not at all
-- Returns
--   'LIVE'    it is live now, or was already (the reply to the first call was lost)
--   'NEWS'    the predecessor has had other events
--   'LATE'    the generation was given up (ABANDON), by its own build or because a later one was published; or another is
--             live
--
-- A pointer that is no number, or leads to a generation without metadata, is corrupt. It is in nobody's way who takes the
-- place of whatever is live.
local live = redis.pcall('GET', KEYS[1]) or '0'
if type(live) == 'table' then
  if not string.find(live.err, 'WRONGTYPE', 1, true) then
    return live
  end
  live = 'another type'
end
if live == ARGV[1] then
  return 'LIVE'
end
local is_later = false
if string.find(live, '^%d+$') and tonumber(live) > tonumber(ARGV[1]) then
  local metadata = string.gsub(KEYS[2], 'g%d+:meta$', 'g' .. live .. ':meta')
  is_later = redis.call('EXISTS', metadata) == 1
end
local prefix = string.sub(KEYS[1], 1, -5)
if is_later or redis.call('EXISTS', KEYS[2], prefix .. 'g' .. ARGV[1] .. ':centroids') < 2 then
  return 'LATE'
end
if ARGV[2] ~= '' then
  if live ~= ARGV[2] then
    return 'LATE'
  end
  if has_news(KEYS[3], KEYS[4], ARGV[3], ARGV[4]) then
    return 'NEWS'
  end
end
redis.call('SET', KEYS[1], ARGV[1])
local keep_ms = tonumber(ARGV[5])
redis.call('DEL', prefix .. 'g' .. live .. ':known')
keep(prefix, live, keep_ms)
if redis.call('EXISTS', prefix .. 'previous') == 1 then
  redis.call('PEXPIRE', KEYS[5], keep_ms)
else
  redis.call('DEL', KEYS[5])
end
return 'LIVE'
