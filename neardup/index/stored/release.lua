-- RELEASE: give up the previous generation; its keys may be removed after that.
--
-- Keys
--   KEYS[1]   {NAME}:previous   string   number of the previous generation
-- Arguments
--   ARGV[1]   its number
-- Returns 1 when it was done, 0 when another generation is the previous one, or none is.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
redis.call('DEL', KEYS[1])
return 1
