declare const __FIXTURE__: boolean;
