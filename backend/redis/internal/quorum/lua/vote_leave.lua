-- Ends an epoch. Returns 0 when nothing is left of it, and 1 when there is more to clear
-- away by another call. ARGV: epoch, horizon.
--
-- What is not cleared away counts no more either: the epoch is dead from the first call.

horizon = tonumber(ARGV[2])
insist()
call('ZADD', P .. 'live', 'XX', '0', ARGV[1])
known[ARGV[1]] = false
local left = 0
for _ = 1, 2 do
  if bury(ARGV[1]) then break end
  left = call('EXISTS', P .. 'of:' .. ARGV[1])
end
publish()
return left
