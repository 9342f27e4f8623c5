//! Attention a text and head at a time: its scores stay in the cache and are never written to memory. The backward pass computes
//! the weights again, which is cheaper than to keep them (Dao et al., arXiv 2205.14135).

use super::super::Attending;
use super::product::{Matrix, Target, product};
use super::{Read, of};
use burn::backend::Flex;
use burn::prelude::*;
use std::ops::Range;
use stillroom_encoder::training;

/// A head of a text.
struct Block {
    /// Its number among all.
    index: usize,
    /// Where it lies in `[tokens, hidden]`.
    elements: Range<usize>,
    length: usize,
    /// Features of the head.
    size: usize,
    hidden: usize,
}

impl Block {
    fn of<'a>(self: &Block, values: &'a [f32]) -> Matrix<'a> {
        Matrix::part(&values[self.elements.clone()], self.size, self.hidden)
    }

    fn target<'a>(self: &Block, values: &'a mut [f32]) -> Target<'a> {
        Target { values: &mut values[self.elements.clone()], stride: self.hidden }
    }

    fn square<'a>(&self, values: &'a [f32]) -> Matrix<'a> {
        Matrix::new(values, self.length)
    }

    fn square_target<'a>(&self, values: &'a mut [f32]) -> Target<'a> {
        Target { values, stride: self.length }
    }

    /// softmax(scale · q · kᵀ).
    fn weights(&self, [q, k, _]: [&[f32]; 3], scale: f32, weights: &mut Vec<f32>) {
        weights.resize(self.length * self.length, 0.0);
        product(self.square_target(weights), (self.of(q), self.of(k).transposed()), scale, false);
        training::softmax(weights, self.length);
    }
}

fn blocks(by: &Attending, hidden: usize) -> impl Iterator<Item = Block> {
    let size = hidden / by.heads;
    let texts = by
        .runs
        .iter()
        .flat_map(|run| run.tokens.clone().step_by(run.length().max(1)).map(|first| (first, run.length())));
    texts.enumerate().flat_map(move |(text, (first, length))| {
        (0..by.heads).map(move |head| {
            let start = first * hidden + head * size;
            let elements = start..start + (length - 1) * hidden + size;
            Block { index: text * by.heads + head, elements, length, size, hidden }
        })
    })
}

pub(super) fn forward(qkv: [Tensor<Flex, 2>; 3], by: &Attending) -> Tensor<Flex, 2> {
    let [tokens, hidden] = qkv[0].dims();
    let (qkv, scale) = (qkv.map(Read::new), by.scale(hidden) as f32);
    let qkv = qkv.each_ref().map(Read::slice);
    let (mut context, mut weights, mut bytes) = (vec![0.0; tokens * hidden], Vec::new(), Vec::new());
    for block in blocks(by, hidden) {
        block.weights(qkv, scale, &mut weights);
        if !by.mask.keeps_all() {
            training::drop_out(&mut weights, by.mask.block(block.index).kept(block.length * block.length, &mut bytes));
        }
        product(block.target(&mut context), (block.square(&weights), block.of(qkv[2])), 1.0, false);
    }
    of(context, [tokens, hidden])
}

pub(super) fn backward(qkv: [Tensor<Flex, 2>; 3], grad: Tensor<Flex, 2>, by: &Attending) -> [Tensor<Flex, 2>; 3] {
    let [tokens, hidden] = grad.dims();
    let (qkv, grad, scale) = (qkv.map(Read::new), Read::new(grad), by.scale(hidden) as f32);
    let (qkv, grad) = (qkv.each_ref().map(Read::slice), grad.slice());
    let mut grads = [(); 3].map(|()| vec![0.0; tokens * hidden]);
    let [grad_q, grad_k, grad_v] = &mut grads;
    let (mut weights, mut scores, mut bytes) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks(by, hidden) {
        block.weights(qkv, scale, &mut weights);
        let area = block.length * block.length;
        scores.resize(area, 0.0);
        product(block.square_target(&mut scores), (block.of(grad), block.of(qkv[2]).transposed()), 1.0, false);
        let kept = by.mask.block(block.index).kept(area, &mut bytes);
        training::softmax_backward(&mut weights, &mut scores, block.length, kept);
        product(block.target(grad_v), (block.square(&weights).transposed(), block.of(grad)), 1.0, false);
        product(block.target(grad_q), (block.square(&scores), block.of(qkv[1])), scale, false);
        product(block.target(grad_k), (block.square(&scores).transposed(), block.of(qkv[0])), scale, false);
    }
    grads.map(|grad| of(grad, [tokens, hidden]))
}
