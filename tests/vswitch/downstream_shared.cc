#include "tests/vswitch/env.h"

const mayfly::Downstream mayfly::kDownstream = Downstream::shared;
