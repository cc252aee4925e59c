import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { request } from "../../api/request.ts";
import type { Replay } from "../../api/types/message.ts";
import { count } from "../../format.ts";
import { Confirm, Dialog, useAction } from "../../parts/dialog.tsx";
import { Notice, Problem, Skeleton } from "../../parts/notice.tsx";

interface Props {
  ids: readonly number[];
  onClose: () => void;
  onDone: () => void;
}

/** Sends refusals on, after showing which of them can be. */
export function ReplayDialog({ ids, onClose, onDone }: Props) {
  const [replace, setReplace] = useState(false);
  const client = useQueryClient();
  const preview = useQuery({
    queryKey: ["replay", ids, replace],
    queryFn: () => request<Replay>("POST", "/api/v1/quarantine/replay", { ids, replace, dryRun: true }),
    staleTime: 0,
  });
  const { busy, error, run } = useAction(
    async () => {
      await request<Replay>("POST", "/api/v1/quarantine/replay", { ids, replace });
      await client.invalidateQueries({ queryKey: ["quarantine"] });
      await client.invalidateQueries({ queryKey: ["refusal"] });
    },
    () => {
      onDone();
      onClose();
    },
  );
  const able = preview.data?.replayed.length ?? 0;
  return (
    <Dialog
      title={ids.length === 1 ? `Replay refusal ${ids[0]}` : `Replay ${count(ids.length)} refusals`}
      onClose={onClose}
    >
      <div className="stack">
        {preview.error && <Problem error={preview.error} />}
        {preview.isPending && <Skeleton rows={2} />}
        {preview.data && <Preview replay={preview.data} />}
        <label className="check">
          <input type="checkbox" checked={replace} onChange={({ target }) => setReplace(target.checked)} />
          Let them replace values that are stored already
        </label>
        <p className="muted">
          They go back onto the bus as they first arrived: same device, time and number. Replayed twice they
          are stored once.
        </p>
        {error !== undefined && <Problem error={error} />}
        <footer className="row end">
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="button" className="primary" disabled={busy || able === 0} onClick={() => void run()}>
            Replay {able > 0 && count(able)}
          </button>
        </footer>
      </div>
    </Dialog>
  );
}

/** What a replay would do. */
export function Preview({ replay: { replayed, skipped } }: { replay: Replay }) {
  return (
    <div className="stack" aria-live="polite">
      {replayed.length > 0 && (
        <Notice
          tone="ok"
          title={replayed.length === 1 ? "It can be replayed" : `${count(replayed.length)} can be replayed`}
        />
      )}
      {skipped.slice(0, 10).map(({ id, why }) => (
        <Notice key={id} tone="warn" title={`${id} stays here`}>
          {why}
        </Notice>
      ))}
      {skipped.length > 10 && <p className="muted">and {count(skipped.length - 10)} more stay.</p>}
    </div>
  );
}

/** Puts refusals aside, after asking. */
export function DiscardDialog({ ids, onClose, onDone }: Props) {
  const client = useQueryClient();
  return (
    <Confirm
      title={ids.length === 1 ? `Discard refusal ${ids[0]}` : `Discard ${count(ids.length)} refusals`}
      action="Discard"
      onClose={onClose}
      onConfirm={async () => {
        await request("POST", "/api/v1/quarantine/discard", { ids });
        await client.invalidateQueries({ queryKey: ["quarantine"] });
        await client.invalidateQueries({ queryKey: ["refusal"] });
        onDone();
      }}
    >
      <p>
        They do not wait any more and cannot be replayed. Their rows stay until quarantine is purged, and the
        audit log says who did it.
      </p>
    </Confirm>
  );
}
