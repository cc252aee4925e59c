import type { Notification } from "@sluice/db";
import { createTransport } from "nodemailer";
import type { Send } from "./deliver.ts";

const TIMEOUT_MS = 20_000;

/** Creates the sender of e-mails through the server at `url`; it counts once that server has taken the mail. */
export function createMailer(url: string | undefined, from: string): Send {
  if (url === undefined) {
    return () => Promise.reject(new Error("no mail server is configured: set SLUICE_SMTP_URL"));
  }
  const transport = createTransport({
    url,
    connectionTimeout: TIMEOUT_MS,
    greetingTimeout: TIMEOUT_MS,
    socketTimeout: TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return async (notification) => {
    const { channel, dedupeKey, alert } = notification;
    await transport.sendMail({
      from,
      to: channel.target,
      subject: `[${alert.severity}] ${verb(notification)}${alert.title}`,
      text: textOf(notification),
      // the same mail sent twice is shown once by most programs
      messageId: `<${dedupeKey}@sluice>`,
    });
  };
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
