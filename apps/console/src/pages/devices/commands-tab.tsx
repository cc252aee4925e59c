/** Commands to the device. */
export function CommandsTab({ device }: { device: string }) {
  return <p>{device}</p>;
}
