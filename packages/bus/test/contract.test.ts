import { describeContract } from "./contract.ts";
import { DRIVERS } from "./drivers.ts";

for (const driver of DRIVERS) describeContract(driver);
