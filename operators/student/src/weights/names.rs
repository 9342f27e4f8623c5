//! What tensors are called: every file's names become those of Hugging Face's `BertForTokenClassification`.

use crate::config::BertConfig;

/// The one table that DistilBERT does without, as it has no token types.
pub(crate) const TOKEN_TYPES: &str = "bert.embeddings.token_type_embeddings.weight";

/// The tensor whose shape is `[hidden]` in every file.
pub(crate) const EMBEDDINGS_NORM: &str = "bert.embeddings.LayerNorm.weight";

/// DistilBERT's parts of a layer (Sanh et al., arXiv 1910.01108), and BERT's.
const DISTILBERT: [(&str, &str); 8] = [
    ("attention.q_lin.", "attention.self.query."),
    ("attention.k_lin.", "attention.self.key."),
    ("attention.v_lin.", "attention.self.value."),
    ("attention.out_lin.", "attention.output.dense."),
    ("sa_layer_norm.", "attention.output.LayerNorm."),
    ("ffn.lin1.", "intermediate.dense."),
    ("ffn.lin2.", "output.dense."),
    ("output_layer_norm.", "output.LayerNorm."),
];

/// The name that a tensor of a BERT or a DistilBERT has here; its own for one that is of neither, such as another head's.
pub(crate) fn canonical(name: &str) -> String {
    // A file of the encoder alone has no prefix.
    let bare = name.strip_prefix("bert.").or_else(|| name.strip_prefix("distilbert.")).unwrap_or(name);
    if let Some((index, part)) = bare.strip_prefix("transformer.layer.").and_then(|rest| rest.split_once('.')) {
        let known = DISTILBERT.iter().find_map(|(theirs, ours)| Some((ours, part.strip_prefix(theirs)?)));
        return known.map_or(name.to_owned(), |(ours, end)| format!("bert.encoder.layer.{index}.{ours}{end}"));
    }
    if !bare.starts_with("embeddings.") && !bare.starts_with("encoder.") {
        return name.to_owned();
    }
    // The first BERT checkpoints name the parameters of a layer norm as TensorFlow did.
    let bare = bare.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
    format!("bert.{bare}")
}

/// Whether a file with this name in it is a DistilBERT's.
pub(crate) fn is_of_distilbert(name: &str) -> bool {
    name.strip_prefix("distilbert.").unwrap_or(name).starts_with("transformer.layer.")
}

/// The tensors of an architecture with their shapes, with a head of `outputs` if there is to be one.
pub(crate) fn expected(config: &BertConfig, outputs: Option<usize>) -> impl Iterator<Item = (String, Vec<usize>)> {
    let (hidden, inner) = (config.hidden_size, config.intermediate_size);
    let table = |name: &str, rows: usize| (format!("bert.embeddings.{name}.weight"), vec![rows, hidden]);
    let tables = [
        table("word_embeddings", config.vocab_size),
        table("position_embeddings", config.max_position_embeddings),
        table("token_type_embeddings", config.type_vocab_size),
    ];
    let layer = move |index: usize| {
        let linear = |name: &str, to: usize, from: usize| {
            [(format!("{name}.weight"), vec![to, from]), (format!("{name}.bias"), vec![to])]
        };
        let parts = [
            linear("attention.self.query", hidden, hidden),
            linear("attention.self.key", hidden, hidden),
            linear("attention.self.value", hidden, hidden),
            linear("attention.output.dense", hidden, hidden),
            norm("attention.output.LayerNorm", hidden),
            linear("intermediate.dense", inner, hidden),
            linear("output.dense", hidden, inner),
            norm("output.LayerNorm", hidden),
        ];
        let parts = parts.into_iter().flatten();
        parts.map(move |(part, shape)| (format!("bert.encoder.layer.{index}.{part}"), shape))
    };
    let head = outputs.map(|outputs| {
        [("classifier.weight".to_owned(), vec![outputs, hidden]), ("classifier.bias".to_owned(), vec![outputs])]
    });
    tables
        .into_iter()
        .chain(norm("bert.embeddings.LayerNorm", hidden))
        .chain((0..config.num_hidden_layers).flat_map(layer))
        .chain(head.into_iter().flatten())
}

fn norm(name: &str, features: usize) -> [(String, Vec<usize>); 2] {
    ["weight", "bias"].map(|part| (format!("{name}.{part}"), vec![features]))
}

#[cfg(test)]
mod tests {
    use super::canonical;

    #[test]
    fn names_of_every_layout_become_one() {
        let check =
            |expected: &str, names: &[&str]| names.iter().for_each(|name| assert_eq!(canonical(name), expected));
        let words = "bert.embeddings.word_embeddings.weight";
        check(words, &[words, "embeddings.word_embeddings.weight", "distilbert.embeddings.word_embeddings.weight"]);
        let norm = "bert.encoder.layer.11.attention.output.LayerNorm.bias";
        check(
            norm,
            &[norm, "encoder.layer.11.attention.output.LayerNorm.beta", "transformer.layer.11.sa_layer_norm.bias"],
        );
        check(
            "bert.encoder.layer.3.output.dense.weight_scale",
            &["bert.encoder.layer.3.output.dense.weight_scale", "distilbert.transformer.layer.3.ffn.lin2.weight_scale"],
        );
        for other in ["cls.predictions.bias", "bert.pooler.dense.weight", "classifier.weight", "vocab_transform.bias"] {
            check(other, &[other]);
        }
    }
}
