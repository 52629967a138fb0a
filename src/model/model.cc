#include "model/model.h"

#include "model/bert.h"
#include "model/decoder.h"
#include "model/long_bert.h"
#include "model/modern_bert.h"

namespace sheaf::model {

std::unique_ptr<Model> make_model(const ModelSpec& spec, WeightSource& weights) {
  switch (spec.architecture) {
    case Architecture::bert:
    case Architecture::deberta:
    case Architecture::distilbert:
    case Architecture::mpnet:
      return std::make_unique<Bert>(spec, weights);
    case Architecture::decoder:
    case Architecture::gemma3:
      return std::make_unique<Decoder>(spec, weights);
    case Architecture::gte:
    case Architecture::jina_bert:
    case Architecture::jina_code:
    case Architecture::jina_flash:
    case Architecture::nomic:
      return std::make_unique<LongBert>(spec, weights);
    case Architecture::modernbert:
      return std::make_unique<ModernBert>(spec, weights);
  }
  return nullptr;
}

}  // namespace sheaf::model
