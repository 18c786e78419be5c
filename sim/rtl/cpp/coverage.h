// SPDX-License-Identifier: Apache-2.0
// What a build that counts coverage (VM_COVERAGE) counted goes to the folder TRIPTYCH_COVERAGE before the model does.
#pragma once
#include <unistd.h>
#include <verilated.h>

#include <cstdlib>
#include <string>
#if VM_COVERAGE
#include <verilated_cov.h>
#endif

struct KeepCoverage {
  VerilatedContext& context;  // declare it behind the model, whose counts it reads
  ~KeepCoverage() {
#if VM_COVERAGE
    if (const char* folder = getenv("TRIPTYCH_COVERAGE"))
      context.coveragep()->write(std::string{folder} + "/" + std::to_string(getpid()) + ".dat");
#endif
  }
};
