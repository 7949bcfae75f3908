-- Scripts that make a session known begin with this file. They try what others call, so
-- that a missing right is named then, and not found out when a lock is half taken.

local function try(...)
  local r = redis.pcall(...)
  local why = type(r) == 'table' and r.err
  if why and (string.find(why, 'NOPERM') or string.find(why, 'ACL failure') or string.find(why, "user executing the script can't")
    or string.find(why, '[Uu]nknown.*command')) then
    error(redis.error_reply('NOPERM ' .. select(1, ...) .. ' on ' .. (select(2, ...) or 'no key') .. ' is a right that dlock needs: ' .. why))
  end
end

-- lacking returns the error of a function that tries, or nil.
local function lacking(rights)
  local ok, why = pcall(rights)
  if ok then return nil end
  return type(why) == 'table' and why or redis.error_reply(why)
end

