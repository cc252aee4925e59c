import { describeContract } from "./contract.ts";
import { CLUSTERS } from "./drivers.ts";

for (const driver of CLUSTERS) describeContract(driver);
