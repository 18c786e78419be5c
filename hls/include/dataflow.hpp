// Processes of a DATAFLOW region. A vendor tool sees plain calls; C simulation without one runs each call in a fiber of
// its own, so that streams block as the FIFOs in hardware do.
#pragma once

#if defined(__SYNTHESIS__) || !defined(TRIPTYCH_FIBERS)
#define FASTCAR_REGION
#define FASTCAR_PROCESS(name, ...) name(__VA_ARGS__)
#else
#include "fibers.hpp"
#define FASTCAR_REGION fibers::Region fastcar_region
#define FASTCAR_PROCESS(name, ...) fastcar_region.process(#name, [&] { name(__VA_ARGS__); })
#endif
