// Loads an NF image into this process.
#pragma once

#include <string>

#include "nfs/nf.h"

namespace mayfly {

// The image's row, or null with the reason in `error` (one line). The object stays loaded.
const NfImage* load_image(const std::string& path, std::string& error);

}  // namespace mayfly
