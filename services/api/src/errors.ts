import { DeviceExistsError, LastAdminError, RegistryConflictError, UserExistsError } from "@sluice/db";
import { type Log, sendProblem } from "@sluice/service-kit";
import { InvalidInputError, NotFoundError, OutageError } from "@sluice/shared-types";
import type { FastifyReply, FastifyRequest } from "fastify";
import { Refusal } from "./refusal.ts";

/** Answers whatever went wrong with a problem; what is our fault is logged and not shown. */
export function answerError(
  log: Log,
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  invalidStatus = 400,
): unknown {
  if (error instanceof Refusal) {
    for (const [name, value] of Object.entries(error.headers)) reply.header(name, value);
    return sendProblem(reply, error.status, error.message, error.extra);
  }
  if (error instanceof OutageError) {
    const seconds = Math.max(1, Math.ceil((error.retryAfterMs ?? 2000) / 1000));
    log.warn({ err: error, path: request.routeOptions.url }, "request not served");
    return sendProblem(
      reply.header("retry-after", String(seconds)),
      503,
      `${error.dependency} cannot serve now; try again later`,
      { code: "unavailable", retry_after: seconds },
    );
  }
  if (error instanceof InvalidInputError) return sendProblem(reply, 400, error.message, { code: error.code });
  if (error instanceof NotFoundError) return sendProblem(reply, 404, error.message, { code: "not_found" });
  if (
    error instanceof DeviceExistsError ||
    error instanceof UserExistsError ||
    error instanceof LastAdminError ||
    error instanceof RegistryConflictError
  ) {
    return sendProblem(reply, 409, error.message, { code: "conflict" });
  }
  const known = error as Error & { statusCode?: number; validation?: Issue[]; validationContext?: string };
  if (known.validation) return answerInvalid(known.validation, known.validationContext, reply, invalidStatus);
  const status = known.statusCode ?? 500;
  if (status < 500) {
    if (status === 413) reply.header("connection", "close");
    return sendProblem(reply, status, known.message.slice(0, 300));
  }
  log.error({ err: error, path: request.routeOptions.url }, "request failed");
  return sendProblem(reply, 500, "something went wrong here; it is in the log");
}

interface Issue {
  instancePath?: string;
  message?: string;
}

function answerInvalid(
  issues: readonly Issue[],
  context: string | undefined,
  reply: FastifyReply,
  status: number,
): unknown {
  const errors = issues.slice(0, 20).map(({ instancePath = "", message = "is not valid" }) => ({
    field: instancePath.replace(/^\//, "").replaceAll("/", ".") || (context ?? "request"),
    message,
  }));
  const detail = errors.map(({ field, message }) => `${field}: ${message}`).join("; ");
  return sendProblem(reply, status, detail, { code: "invalid", errors });
}
