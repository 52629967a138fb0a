#pragma once

#include "tokenizer/pipeline.h"

namespace sheaf::tokenizer {

// Puts them into the stages that a file gave. Errors name a token that there is not.
Status apply(const Additions& additions, Pipeline::Stages& stages);

}  // namespace sheaf::tokenizer
