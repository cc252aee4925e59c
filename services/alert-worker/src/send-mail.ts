import type { Notification } from "@sluice/db";
import type { Transporter } from "nodemailer";
import type { Send } from "./deliver.ts";

const TIMEOUT_MS = 20_000;

/**
 * Creates the sender of e-mails through the server at `url`; one counts once that server has taken it. The library is
 * loaded with the first mail.
 */
export function createMailer(url: string | undefined, from: string): Send {
  let transport: Promise<Transporter> | undefined;
  return async (notification) => {
    if (url === undefined) throw new Error("no mail server is configured: set SLUICE_SMTP_URL");
    transport ??= openTransport(url);
    const { channel, dedupeKey, alert } = notification;
    await (await transport).sendMail({
      from,
      to: channel.target,
      subject: `[${alert.severity}] ${verb(notification)}${alert.title}`,
      text: textOf(notification),
      // the same mail sent twice is shown once by most programs
      messageId: `<${dedupeKey}@sluice>`,
    });
  };
}

async function openTransport(url: string): Promise<Transporter> {
  const { createTransport } = await import("nodemailer");
  return createTransport({
    url,
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
}

function verb({ event }: Notification): string {
  if (event === "resolved") return "Over: ";
  return event === "escalated" ? "Still: " : "";
}

function textOf({ event, alert }: Notification): string {
  const lines = [alert.message, "", `Alert ${alert.id}, ${alert.severity}, ${alert.status}.`];
  if (alert.resolvedAt) lines.push(`Over since ${alert.resolvedAt.toISOString()}.`);
  if (event === "escalated") lines.push("Nobody has acknowledged it yet.");
  if (event !== "resolved") lines.push(`Acknowledge: ./sluice alerts ack ${alert.id}`);
  return lines.join("\n");
}
