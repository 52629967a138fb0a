#include "tokenizer/post_processor.h"

#include "tokenizer/bert_processing.h"
#include "tokenizer/byte_level_processing.h"
#include "tokenizer/post_processor_sequence.h"
#include "tokenizer/roberta_processing.h"
#include "tokenizer/template_processing.h"

namespace sheaf::tokenizer {

Result<PostProcessor> PostProcessor::parse(const JsonField& field, const IsKnownId& is_known) {
  SHEAF_ASSIGN(const std::string_view type, field.string("type"));
  if (type == "TemplateProcessing") return parse_template_processing(field, is_known);
  if (type == "BertProcessing") return parse_bert_processing(field, is_known);
  if (type == "RobertaProcessing") return parse_roberta_processing(field, is_known);
  if (type == "ByteLevel") return parse_byte_level_processing(field);
  if (type == "Sequence") return parse_post_processor_sequence(field, is_known);
  return field.unknown_type(
      type, "BertProcessing, ByteLevel, RobertaProcessing, Sequence, TemplateProcessing");
}

}  // namespace sheaf::tokenizer
