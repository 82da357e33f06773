//! Reduction of pictures to a palette: pages have few colours, and files with a palette take a
//! third of the space.

use std::collections::HashMap;
use std::io::Cursor;

use anyhow::{Context as _, Result, ensure};
use png::{BitDepth, ColorType, Compression, Decoder, Encoder, Filter};

/// A colour: red, green and blue.
type Colour = [u8; 3];

/// The size of the palette; enough for text on the backgrounds of the console.
const COLOURS: usize = 64;

/// The number of the most frequent colours that are always kept, however similar they are:
/// backgrounds, lines and text.
const COMMONEST: usize = 12;

/// The largest difference of two rare colours that look the same: the sum of the squares of the
/// differences.
const ALIKE: u32 = 300;

/// Returns the same picture with a palette of its most frequent dissimilar colours. Every other
/// colour is replaced by the nearest one.
pub(crate) fn reduce(picture: &[u8]) -> Result<Vec<u8>> {
    let mut reader = Decoder::new(Cursor::new(picture)).read_info()?;
    let mut pixels = vec![
        0;
        reader
            .output_buffer_size()
            .context("the picture is too large")?
    ];
    let info = reader.next_frame(&mut pixels)?;
    let samples = info.color_type.samples();
    ensure!(
        info.bit_depth == BitDepth::Eight && samples >= 3,
        "a picture of an unexpected kind: {info:?}"
    );
    let colours = pixels[..info.buffer_size()]
        .chunks_exact(samples)
        .map(|pixel| [pixel[0], pixel[1], pixel[2]]);
    let colours: Vec<Colour> = colours.collect();

    let mut counts: HashMap<Colour, usize> = HashMap::new();
    for colour in &colours {
        *counts.entry(*colour).or_default() += 1;
    }
    let mut commonest: Vec<(Colour, usize)> = counts
        .iter()
        .map(|(colour, count)| (*colour, *count))
        .collect();
    // The order is total, so that the same picture gives the same file.
    commonest.sort_by_key(|(colour, count)| (std::cmp::Reverse(*count), *colour));
    let mut palette: Vec<Colour> = Vec::new();
    for (colour, _) in commonest {
        let is_new = || {
            palette
                .iter()
                .all(|other| difference(&colour, other) > ALIKE)
        };
        if palette.len() < COMMONEST || (palette.len() < COLOURS && is_new()) {
            palette.push(colour);
        }
    }
    let places: HashMap<Colour, u8> = counts
        .keys()
        .map(|colour| (*colour, nearest(&palette, *colour)))
        .collect();
    let indices: Vec<u8> = colours.iter().map(|colour| places[colour]).collect();

    let mut reduced = Vec::new();
    let mut encoder = Encoder::new(&mut reduced, info.width, info.height);
    encoder.set_color(ColorType::Indexed);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(Compression::High);
    encoder.set_filter(Filter::NoFilter);
    encoder.write_header()?.write_image_data(&indices)?;
    Ok(reduced)
}

/// Returns the index of the colour that differs least.
fn nearest(palette: &[Colour], colour: Colour) -> u8 {
    let place = (0..palette.len())
        .min_by_key(|place| difference(&palette[*place], &colour))
        .unwrap_or_default();
    u8::try_from(place).unwrap_or(u8::MAX)
}

fn difference(one: &Colour, other: &Colour) -> u32 {
    one.iter()
        .zip(other)
        .map(|(one, other)| u32::from(one.abs_diff(*other)).pow(2))
        .sum()
}
