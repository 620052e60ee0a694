#include "nfpool/image_loader.h"

#include <dlfcn.h>

namespace mayfly {

const NfImage* load_image(const std::string& path, std::string& error) {
  void* object = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    error = dlerror();
    return nullptr;
  }
  using Entry = const NfImage* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(object, "mayfly_nf_image"));
  if (entry == nullptr) {
    error = path + " is not an NF image: it has no mayfly_nf_image (MAYFLY_NF_IMAGE in its source)";
    return nullptr;
  }
  const NfImage* image = entry();
  if (image == nullptr || image->sdk_version != kSdkVersion) {
    error = path + " was built for SDK version " +
            std::to_string(image ? image->sdk_version : 0) + ", this is " +
            std::to_string(kSdkVersion) + ": build it again";
    return nullptr;
  }
  return image;
}

}  // namespace mayfly
