import { createHash } from "node:crypto";
import type { Redis } from "ioredis";

/**
 * What has to be atomic on Redis, as Lua. Every script gets the stream as KEYS[1] and its ledger as KEYS[2].
 *
 * The id of an entry is `<ms>-<ordinal * 1000 + count>`: how many messages an entry has, and which, can be
 * read off its id, even when the entry itself is gone. Entries that others appended by hand have small
 * sequence parts; they are delivered, but not part of `accepted`.
 */
export interface Script {
  lua: string;
  sha: string;
}

function script(lua: string): Script {
  return { lua, sha: createHash("sha1").update(lua).digest("hex") };
}

/** Runs `script`, loading it where the server does not have it. */
export async function runScript(
  redis: Redis,
  { lua, sha }: Script,
  keys: readonly string[],
  args: readonly (string | number)[],
): Promise<unknown> {
  try {
    return await redis.call("EVALSHA", sha, keys.length, ...keys, ...args);
  } catch (error) {
    if (!(error instanceof Error && error.message.startsWith("NOSCRIPT"))) throw error;
    return redis.call("EVAL", lua, keys.length, ...keys, ...args);
  }
}

const SHARED = `
local stream, ledger = KEYS[1], KEYS[2]
local function own(id)
  local seq = tonumber(string.match(id, '%-(%d+)$'))
  if seq < 1001 then return nil end
  return math.floor(seq / 1000), seq % 1000
end
local function fields(list)
  local map = {}
  for i = 1, #list, 2 do map[list[i]] = list[i + 1] end
  return map
end
local function count(field) return tonumber(redis.call('HGET', ledger, field) or 0) end
local function next_ordinal(after, accepted)
  for _ = 1, 1000 do
    local found = redis.call('XRANGE', stream, '(' .. after, '+', 'COUNT', 1)[1]
    if not found then break end
    if found[2][1] == 'o' and found[2][3] == 'n' then return tonumber(found[2][2]) end
    after = found[1]
  end
  return accepted + 1
end
local function outcomes(group)
  return count(group .. ':stored') + count(group .. ':duplicate') + count(group .. ':quarantined')
end
local function pending(group)
  local messages, entries, from, oldest = 0, 0, '-', false
  repeat
    local page = redis.call('XPENDING', stream, group, from, '+', 1000)
    for _, p in ipairs(page) do
      local ordinal, n = own(p[1])
      if ordinal then messages = messages + n end
      oldest = oldest or p[1]
    end
    entries = entries + #page
    if #page > 0 then from = '(' .. page[#page][1] end
  until #page < 1000
  return messages, entries, oldest
end
local function before(a, b)
  local am, as = string.match(a, '^(%d+)-(%d+)$')
  local bm, bs = string.match(b, '^(%d+)-(%d+)$')
  if tonumber(am) ~= tonumber(bm) then return tonumber(am) < tonumber(bm) end
  return tonumber(as) < tonumber(bs)
end
local function groups()
  if redis.call('EXISTS', stream) == 0 then return {} end
  local list = {}
  for i, g in ipairs(redis.call('XINFO', 'GROUPS', stream)) do list[i] = fields(g) end
  return list
end
`;

/**
 * KEYS[3] producer. ARGV: sequence, ttlMs, an ordinal to go on above (0: none), then for each entry: count, messages.
 * Gives `<sequence> <id>...`.
 * A sequence that was appended before appends nothing and gives the same ids again. The first write is XADD:
 * where Redis refuses it (memory, disk), nothing has happened.
 */
export const APPEND = script(`${SHARED}
local seq = tonumber(ARGV[1])
local done = redis.call('GET', KEYS[3])
if done then
  local at = tonumber(string.match(done, '^%d+'))
  if at == seq then
    -- A write, so that WAIT on this connection is about what was appended on another.
    redis.pcall('PEXPIRE', KEYS[3], ARGV[2])
    return done
  end
  if at > seq then return redis.error_reply('STALE sequence ' .. ARGV[1] .. ' after ' .. at) end
end
local state = redis.call('HMGET', ledger, 'accepted', 'clock')
local accepted, clock = tonumber(state[1]), tonumber(state[2] or 0)
local function resume()
  local last = fields(redis.call('XINFO', 'STREAM', stream))['last-generated-id']
  local ordinal, n = own(last)
  if not accepted then accepted = ordinal and ordinal + n - 1 or 0 end
  clock = tonumber(string.match(last, '^%d+')) + 1
end
if not accepted then
  if redis.call('EXISTS', stream) == 1 then resume() else accepted = 0 end
end
-- Accepted and gone, with a primary that had it alone: the gap names it.
accepted = math.max(accepted, tonumber(ARGV[3]))
local time = redis.call('TIME')
local ms = math.max(time[1] * 1000 + math.floor(time[2] / 1000), clock)
local function add(ordinal, at, n)
  local args = { 'XADD', stream, string.format('%.0f-%.0f', ms, ordinal * 1000 + n),
    'o', string.format('%.0f', ordinal), 'n', n }
  for i = 1, n do
    args[6 + 2 * i] = 'm'
    args[7 + 2 * i] = ARGV[at + i]
  end
  return redis.pcall(unpack(args))
end
local result, at = { ARGV[1] }, 4
while at <= #ARGV do
  local n = tonumber(ARGV[at])
  local id = add(accepted + 1, at, n)
  if type(id) == 'table' and string.find(id.err, 'equal or smaller') then
    resume()
    ms = clock
    id = add(accepted + 1, at, n)
  end
  if type(id) == 'table' then return id end
  accepted = accepted + n
  at = at + n + 1
  result[#result + 1] = id
end
redis.call('HSET', ledger, 'accepted', string.format('%.0f', accepted), 'clock', string.format('%.0f', ms))
local reply = table.concat(result, ' ')
redis.call('SET', KEYS[3], reply, 'PX', ARGV[2])
return reply`);

/** ARGV: group, then for each entry: id, stored, duplicate, quarantined, 1 if others appended it. Gives the ids that counted. */
export const ACK = script(`${SHARED}
local group, sums, foreign, counted = ARGV[1], { 0, 0, 0 }, 0, {}
for at = 2, #ARGV, 5 do
  local id = ARGV[at]
  if redis.call('XACK', stream, group, id) == 1 then
    counted[#counted + 1] = id
    for k = 1, 3 do
      sums[k] = sums[k] + ARGV[at + k]
      if ARGV[at + 4] == '1' then foreign = foreign + ARGV[at + k] end
    end
  end
end
for k, name in ipairs({ ':stored', ':duplicate', ':quarantined' }) do
  if sums[k] > 0 then redis.call('HINCRBY', ledger, group .. name, sums[k]) end
end
if foreign > 0 then redis.call('HINCRBY', ledger, group .. ':foreign', foreign) end
return counted`);

/**
 * ARGV: group. Creates it at the first entry; gives 1 if it was not there. `base` is what was accepted before
 * the group existed and is gone. A group created anew over entries it had acknowledged gets them again, so its
 * base moves back by as much; it never moves forward, which would hide a loss.
 */
export const ENSURE = script(`${SHARED}
local group = ARGV[1]
local made = redis.pcall('XGROUP', 'CREATE', stream, group, '0', 'MKSTREAM')
if made.err then
  if string.find(made.err, 'BUSYGROUP') then return 0 end
  return made
end
local before = next_ordinal('0-0', count('accepted')) - 1
local base = redis.call('HGET', ledger, group .. ':base')
local had = outcomes(group) - count(group .. ':foreign') + count(group .. ':lost') + count(group .. ':parked')
if base then before = math.min(tonumber(base), before - had) end
redis.call('HSET', ledger, group .. ':base', string.format('%.0f', before))
return 1`);

/** Numbers of every group, in one consistent look, as JSON. */
export const STATE = script(`${SHARED}
local accepted = count('accepted')
local result = { accepted = accepted, entries = 0, groups = {} }
if redis.call('EXISTS', stream) == 1 then result.entries = redis.call('XLEN', stream) end
for i, g in ipairs(groups()) do
  local messages, entries, oldest = pending(g.name)
  local consumers = {}
  for k, c in ipairs(redis.call('XINFO', 'CONSUMERS', stream, g.name)) do
    local f = fields(c)
    consumers[k] = { name = f.name, pending = f.pending, idleMs = f.idle }
  end
  local n = g.name
  local foreign = count(n .. ':foreign')
  result.groups[i] = {
    group = n, accepted = accepted - count(n .. ':base') + foreign, lost = count(n .. ':lost'),
    parked = count(n .. ':parked'),
    stored = count(n .. ':stored'), duplicate = count(n .. ':duplicate'), quarantined = count(n .. ':quarantined'),
    pending = messages, pendingEntries = entries, oldest = oldest,
    unread = accepted - next_ordinal(g['last-delivered-id'], accepted) + 1,
    unreadEntries = g.lag, lastDeliveredId = g['last-delivered-id'], consumers = consumers,
  }
end
return cjson.encode(result)`);

/**
 * ARGV: group, reached, then for each suspected gap: from, to, id before it, id after it. Names real losses:
 * what the balance of the group says is missing, and no more than that, whoever asks first. Gives from, to
 * pairs. `reached` is the last ordinal the asking reader has seen.
 */
export const FIND_LOSSES = script(`${SHARED}
local group, reached = ARGV[1], tonumber(ARGV[2])
local state
for _, g in ipairs(groups()) do if g.name == group then state = g end end
if not state then return {} end
local accepted, lost, base = count('accepted'), count(group .. ':lost'), count(group .. ':base')
local had = outcomes(group) - count(group .. ':foreign') + count(group .. ':parked')
local next = next_ordinal(state['last-delivered-id'], accepted)
local missing = (next - 1 - base) - had - lost - pending(group)
if missing <= 0 then return {} end
local found, sum = {}, 0
local function name(from, to)
  to = math.min(to, from + missing - 1)
  if to < from then return end
  found[#found + 1] = string.format('%.0f', from)
  found[#found + 1] = string.format('%.0f', to)
  missing, sum = missing - (to - from + 1), sum + (to - from + 1)
end
for at = 3, #ARGV, 4 do
  local between = ARGV[at + 2] ~= '' and redis.call('XRANGE', stream, '(' .. ARGV[at + 2], '(' .. ARGV[at + 3], 'COUNT', 1)
  if not between or #between == 0 then name(tonumber(ARGV[at]), tonumber(ARGV[at + 1])) end
end
local ordinal, n = own(state['last-delivered-id'])
local delivered = base + had + lost
if ordinal then delivered = ordinal + n - 1 elseif reached <= accepted then delivered = math.max(delivered, reached) end
if delivered < next - 1 then name(delivered + 1, next - 1) end
if sum > 0 then redis.call('HINCRBY', ledger, group .. ':lost', sum) end
return found`);

/** ARGV: group, consumer, ids. Keeps them from being taken over; gives those that are not this consumer's any more. */
export const HOLD = script(`
local gone = {}
for at = 3, #ARGV do
  local id = ARGV[at]
  local mine = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1, ARGV[2])
  if #mine == 1 then redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, id, 'JUSTID')
  else gone[#gone + 1] = id end
end
return gone`);

/** ARGV: group, own name, idleMs. Removes the others that have been idle that long and hold nothing. */
export const SWEEP = script(`${SHARED}
local removed = {}
for _, c in ipairs(redis.call('XINFO', 'CONSUMERS', stream, ARGV[1])) do
  local f = fields(c)
  if f.pending == 0 and f.name ~= ARGV[2] and f.idle > tonumber(ARGV[3]) then
    redis.call('XGROUP', 'DELCONSUMER', stream, ARGV[1], f.name)
    removed[#removed + 1] = f.name
  end
end
return removed`);

/** ARGV: group, consumer. Its pending entries may be taken over at once; without any it is removed. */
export const LEAVE = script(`
local ids = {}
for _, p in ipairs(redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1000, ARGV[2])) do
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, p[1], 'IDLE', 86400000, 'JUSTID')
  ids[#ids + 1] = p[1]
end
if #ids == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return #ids`);

/**
 * ARGV: everyMs, keepMs, keepMessages. Removes what every group has acknowledged, but for the last `keepMs`
 * (of these at most about `keepMessages`), at most once in `everyMs` whoever asks. Without a group nothing is removed.
 */
export const TRIM = script(`${SHARED}
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now - count('trimmed') < tonumber(ARGV[1]) and now >= count('trimmed') then return -1 end
local all = groups()
if #all == 0 then return 0 end
redis.call('HSET', ledger, 'trimmed', string.format('%.0f', now))
local floor
for _, g in ipairs(all) do
  local needed = g.pending > 0 and redis.call('XPENDING', stream, g.name)[2] or g['last-delivered-id']
  if before(g['last-delivered-id'], needed) then needed = g['last-delivered-id'] end
  if not floor or before(needed, floor) then floor = needed end
end
local function ordinal_at(ms)
  return next_ordinal(string.format('%.0f-0', ms), count('accepted'))
end
local keep, upto = now - tonumber(ARGV[2]), count('accepted') - tonumber(ARGV[3])
if ordinal_at(keep) <= upto then
  local low, high = keep, now
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    if ordinal_at(middle) <= upto then low = middle else high = middle end
  end
  keep = low
end
keep = string.format('%.0f-0', keep)
if before(keep, floor) then floor = keep end
return redis.call('XTRIM', stream, 'MINID', '=', floor)`);

/**
 * ARGV: group, the group that must have acknowledged, maxBytes, minAgeMs. Gives the oldest entries that the first
 * one needs: pending or unread.
 */
export const FIND_PARKABLE = script(`${SHARED}
local group, other
for _, g in ipairs(groups()) do
  if g.name == ARGV[1] then group = g elseif g.name == ARGV[2] then other = g end
end
if not group or not other then return {} end
local function first_pending(g)
  return g.pending > 0 and redis.call('XPENDING', stream, g.name)[2] or nil
end
local last = group['last-delivered-id']
local upto = first_pending(other)
local stop = upto and '(' .. upto or other['last-delivered-id']
if upto and before(other['last-delivered-id'], upto) then stop = other['last-delivered-id'] end
local from = first_pending(group) or '(' .. last
local time = redis.call('TIME')
local newest = time[1] * 1000 + math.floor(time[2] / 1000) - tonumber(ARGV[4])
local found, bytes = {}, 0
while true do
  local page = redis.call('XRANGE', stream, from, stop, 'COUNT', 16)
  for _, e in ipairs(page) do
    if tonumber(string.match(e[1], '^%d+')) > newest then return found end
    local unread = before(last, e[1])
    if unread or #redis.call('XPENDING', stream, ARGV[1], e[1], e[1], 1) == 1 then
      for _, text in ipairs(e[2]) do bytes = bytes + #text end
      if #found > 0 and (bytes > tonumber(ARGV[3]) or #found >= 256) then return found end
      found[#found + 1] = e
    end
  end
  if #page < 16 then return found end
  from = '(' .. page[#page][1]
end`);

/** KEYS[3] parked. ARGV: group, name, ids in order. Takes them from the group: 1, or 0 where it needs one no more. */
export const PARK = script(`${SHARED}
local group, field = ARGV[1], ARGV[1] .. '/' .. ARGV[2]
if redis.call('HEXISTS', KEYS[3], field) == 1 then return 1 end
local state
for _, g in ipairs(groups()) do if g.name == group then state = g end end
if not state then return 0 end
local last, reached, skipped, messages = state['last-delivered-id'], nil, 0, 0
for at = 3, #ARGV do
  local id = ARGV[at]
  if before(last, id) then
    local next = redis.call('XRANGE', stream, '(' .. (reached or last), '+', 'COUNT', 1)[1]
    if not next or next[1] ~= id then return 0 end
    reached, skipped = id, skipped + 1
  elseif #redis.call('XPENDING', stream, group, id, id, 1) == 0 then return 0 end
  local ordinal, n = own(id)
  if ordinal then messages = messages + n end
end
-- Acknowledging comes first: once a script has written, a full memory does not stop it.
for at = 3, #ARGV do redis.call('XACK', stream, group, ARGV[at]) end
if reached then
  local read = state['entries-read']
  if read then redis.call('XGROUP', 'SETID', stream, group, reached, 'ENTRIESREAD', string.format('%.0f', read + skipped))
  else redis.call('XGROUP', 'SETID', stream, group, reached) end
end
redis.call('HSET', KEYS[3], field, messages)
redis.call('HINCRBY', ledger, group .. ':parked', messages)
return 1`);

/** KEYS[3] parked. ARGV: group, name, stored, duplicate, quarantined. 1 where it counted. */
export const UNPARK = script(`${SHARED}
local group, field = ARGV[1], ARGV[1] .. '/' .. ARGV[2]
local messages = redis.call('HGET', KEYS[3], field)
if not messages then return 0 end
redis.call('HDEL', KEYS[3], field)
redis.call('HINCRBY', ledger, group .. ':parked', -tonumber(messages))
local sum = 0
for k, name in ipairs({ ':stored', ':duplicate', ':quarantined' }) do
  local n = tonumber(ARGV[2 + k])
  sum = sum + n
  if n > 0 then redis.call('HINCRBY', ledger, group .. name, n) end
end
local foreign = sum - tonumber(messages)
if foreign > 0 then redis.call('HINCRBY', ledger, group .. ':foreign', foreign) end
return 1`);

/** ARGV: id. Gives group, state pairs. */
export const FATES = script(`${SHARED}
local result = {}
for _, g in ipairs(groups()) do
  result[#result + 1] = g.name
  if before(g['last-delivered-id'], ARGV[1]) then result[#result + 1] = 'unread'
  elseif #redis.call('XPENDING', stream, g.name, ARGV[1], ARGV[1], 1) == 1 then result[#result + 1] = 'pending'
  else result[#result + 1] = 'settled' end
end
return result`);

/** ARGV: accepted. 1 where the stream had counted nothing, and goes on from there now. */
export const RESUME = script(`${SHARED}
if redis.call('EXISTS', stream) == 1 or count('accepted') > 0 then return 0 end
redis.call('HSET', ledger, 'accepted', ARGV[1])
return 1`);
