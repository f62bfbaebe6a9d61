"use strict";
// Pictures on canvases, one canvas pixel per pixel of the image.

/** Draw pixels that a function gives as [red, green, blue]. */
function paint(canvas, height, width, colour) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d"), image = context.createImageData(width, height);
  for (let place = 0; place < height * width; place++) {
    const [red, green, blue] = colour(place);
    image.data.set([red, green, blue, 255], 4 * place);
  }
  context.putImageData(image, 0, 0);
}

/** A function from the place of a pixel to its colour; picture: flat [channel, y, x]. */
function pixelsOf(picture, size) {
  return picture.length >= 3 * size ? (p) => [picture[p], picture[size + p], picture[2 * size + p]]
    : (p) => [picture[p], picture[p], picture[p]];
}

/** Colour of an attribution: red for and blue against where maps are signed, else from white to dark. */
function mapColour(signed, limit) {
  const scale = signed ? (value) => d3.interpolateRdBu(0.5 - 0.5 * value / limit) : (value) => d3.interpolateGreys(Math.max(0, value) / limit);
  return (value) => {
    const { r, g, b } = d3.rgb(Number.isFinite(value) && limit > 0 ? scale(value) : "#888");
    return [r, g, b];
  };
}

/** Whether each pixel is gone. */
function removedPixels(labels, ranks, count) {
  const gone = new Uint8Array(labels.length);
  for (let place = 0; place < labels.length; place++) gone[place] = ranks[labels[place]] < count ? 1 : 0;
  return gone;
}

/** The ranks by which units go: those of the map for MoRF, from the other end for LeRF. */
function ranksOf(ranks, nUnits, order) {
  return order === "lerf" ? Array.from(ranks, (rank) => nUnits - 1 - rank) : ranks;
}

/** Draw the image where it is left, and stripes where it is gone; the stripes are told apart without colour. */
function paintRemoved(canvas, height, width, picture, gone, dark) {
  const size = height * width, colour = pixelsOf(picture, size), [first, second] = dark ? [90, 50] : [235, 190];
  paint(canvas, height, width, (place) => {
    if (!gone[place]) return colour(place);
    const grey = (Math.floor(place / width) + place % width) % 2 ? first : second;
    return [grey, grey, grey + 12];
  });
}
