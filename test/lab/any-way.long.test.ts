import { describeAnyWay } from './any-way-cases.ts';

describeAnyWay(40);
